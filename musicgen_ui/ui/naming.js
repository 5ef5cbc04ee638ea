/* Names for what Gradio leaves nameless, or names in English whatever the reader's language. It draws parts of the
   page anew now and then; so they are looked through again after each change. `element` holds our words (naming.py). */
class Names {
  constructor(element) {
    this.element = element;
    let waiting = false;
    const look = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        this.look();
      });
    };
    const options = { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-label", "alt"] };
    new MutationObserver(look).observe(document.body, options);
    look();
  }

  look() {
    const all = (selector, act) => document.querySelectorAll(selector).forEach(act);
    const set = (element, name, value) => element.getAttribute(name) !== value && element.setAttribute(name, value);
    all("#mg-status .prose", (area) => set(area, "role", "status")); // it stays, what it says comes and goes
    all("fieldset", (group) => {
      const title = group.querySelector("[data-testid='block-info']");
      if (title) set(group, "aria-label", title.innerText.trim());
      const radios = group.querySelectorAll("input[type='radio']");
      if (radios.length) set(group, "role", "radiogroup");
      radios.forEach((radio) => set(radio, "name", radios[0].name)); // one name: arrow keys go from one to the next
    });
    for (const words of this.element.querySelectorAll("[data-of]")) {
      const { of, as, theirs } = words.dataset;
      const ours = words.textContent;
      if (as === "text") {
        all(of, ({ firstChild: text }) => {
          if (text?.nodeValue?.trim() === theirs && ours !== theirs) text.nodeValue = ours;
        });
      } else if (as === "told") {
        all(of, (element) => {
          const said = element.textContent;
          const rest = said.indexOf(": ") + 2;
          if (said.startsWith(theirs) && rest > 1) element.textContent = ours + said.slice(rest);
        });
      } else {
        all(of, (element) => set(element, as, theirs ? element.getAttribute(as).replace(theirs, ours) : ours));
      }
    }
  }
}
