/* Keys that work on the whole page; keys.py tells of them. None is a letter or a sign alone: those belong to who writes,
   to screen readers, and to browsers that search with them. */
const ESCAPES = 'input[aria-expanded="true"], #mg-tray input, .mg-config'; // there Esc leaves a list, a name, a cell
const PROMPTS = "#mg-prompt textarea, #mg-description textarea";

const visible = (selector) => [...document.querySelectorAll(selector)].find((element) => element.offsetParent);

/* What a key is for, as an act; nothing where it is anyone else's. */
function meaning(event) {
  if (event.isComposing || event.altKey) return null; // isComposing: an input method's
  const held = event.ctrlKey || event.metaKey;
  const generate = document.querySelector("#mg-generate");
  const prompt = visible(PROMPTS);
  const stop = event.target.closest(ESCAPES) ? null : document.querySelector("#mg-stop:enabled");
  if (held && event.key === "Enter" && generate) return () => generate.click();
  if (held && event.key === "/" && prompt) return () => prompt.focus();
  if (!held && event.key === "Escape" && stop) return () => stop.click();
  return null;
}

function press(event) {
  const act = meaning(event);
  if (!act) return;
  event.preventDefault();
  act();
}
document.addEventListener("keydown", press, true); // before all others: then an open list is still open
