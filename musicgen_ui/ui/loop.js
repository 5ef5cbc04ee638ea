/* Plays the loop of a take round and round, to the sample, as no media element does. `element` holds the line about the
   loop and its button, which Python renders anew for each take (result.py). */
class LoopPlayer {
  constructor(element) {
    this.element = element;
    this.context = null; // while it plays
    this.sound = null; // the address of what plays
    element.addEventListener("click", (event) => {
      const button = event.target.closest(".mg-play");
      if (button) this.context ? this.pause() : this.play(button.dataset);
    });
    new MutationObserver(() => this.show()).observe(element, { childList: true, subtree: true });
  }

  async play({ sound, rate }) {
    livePlayer.only(this);
    const context = new AudioContext({ sampleRate: Number(rate) });
    [this.context, this.sound] = [context, sound];
    this.volume = new GainNode(context);
    this.volume.connect(context.destination);
    this.show();
    try {
      const answer = await fetch(sound);
      const buffer = await context.decodeAudioData(await answer.arrayBuffer());
      const source = new AudioBufferSourceNode(context, { buffer, loop: true });
      source.connect(this.volume);
      source.start();
    } catch {
      if (this.context === context) this.pause(); // the file has gone, or it was paused already
    }
  }

  pause() {
    const { context, volume } = this;
    if (!context) return; // live_player.js pauses what sounded last, whether it still does or not
    this.context = null;
    volume.gain.setTargetAtTime(0, context.currentTime, FADE / 4);
    setTimeout(() => context.close(), 2000 * FADE);
    this.show();
  }

  /* Marks the button; another take's line ends what plays. */
  show() {
    const button = this.element.querySelector(".mg-play");
    if (this.context && button?.dataset.sound !== this.sound) return this.pause();
    if (button) markPlay(button, Boolean(this.context));
  }
}
