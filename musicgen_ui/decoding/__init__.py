"""Making tokens and turning them into sound: the token loop, the engines that run the decoder's steps, the codec."""
