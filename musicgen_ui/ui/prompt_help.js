/* What the building blocks say now goes into the prompt: in place of what they said before; where that isn't there
   any more, behind the reader's own words. Gives the prompt, and what of it is the blocks'. */
(sentence, prompt, before) => {
  const start = before ? prompt.lastIndexOf(before) : -1;
  if (start >= 0) {
    const ahead = prompt.slice(0, start);
    const behind = prompt.slice(start + before.length);
    if (!sentence) return [ahead.replace(/, $/, "") + (ahead ? behind : behind.replace(/^, /, "")), ""];
    const lowered = /^[a-z]/.test(before) ? sentence[0].toLowerCase() + sentence.slice(1) : sentence;
    return [ahead + lowered + behind, lowered];
  }
  if (!sentence) return [prompt, ""];
  const fresh = /(^|\n)\s*$/.test(prompt); // an empty line becomes a piece of its own
  if (fresh || /[.!?。！？]\s*$/.test(prompt)) return [prompt + (fresh ? "" : " ") + sentence, sentence];
  const lowered = sentence[0].toLowerCase() + sentence.slice(1);
  return [prompt.replace(/[\s,，、;；]*$/, "") + ", " + lowered, lowered];
}
