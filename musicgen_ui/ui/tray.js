/* The tray of takes. Python renders the rows (tray.py), and renders them anew after every act.

Play buttons share a playhead: to press another take's while one plays goes on at the same second in the other, so two
takes are compared by pressing their buttons in turn. On a play button the arrow keys go to another take's, and through
the sound.
*/
const STEP = 5; // seconds that an arrow key goes back or on

class Tray {
  constructor(element, act) {
    this.element = element;
    this.act = act;
    this.audio = null; // what sounds, or did last
    this.take = null; // whose it is
    element.addEventListener("click", (event) => this.click(event));
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("focusout", (event) => event.target.matches("input") && this.renamed(event.target, true));
    new MutationObserver(() => this.show()).observe(element, { childList: true, subtree: true });
  }

  click(event) {
    const button = event.target.closest("button");
    const take = button?.closest("li")?.dataset.take;
    if (!take) return;
    if (button.matches(".mg-play")) this.play(take, button.dataset.sound);
    else if (button.dataset.act === "rename") this.rename(button);
    else {
      if (button.dataset.act === "delete" && take === this.take) this.audio?.pause();
      this.act({ take: Number(take), act: button.dataset.act });
    }
  }

  play(take, address) {
    if (take === this.take && !this.audio.paused) {
      this.audio.pause();
      return;
    }
    if (take !== this.take) {
      const second = this.audio?.paused === false ? this.audio.currentTime : 0;
      this.audio = new Audio(address);
      this.take = take;
      for (const name of ["play", "pause", "ended"]) this.audio.addEventListener(name, () => this.show());
      this.audio.addEventListener("loadedmetadata", ({ target }) => {
        if (second < target.duration) target.currentTime = second;
      });
    }
    this.audio.play(); // what sounded till now is paused by live_player.js
  }

  /* Marks the row that sounds. */
  show() {
    for (const button of this.element.querySelectorAll(".mg-play")) {
      const sounds = button.closest("li").dataset.take === this.take && !this.audio.paused;
      markPlay(button, sounds);
    }
  }

  rename(button) {
    const pick = button.closest("li").querySelector(".mg-pick");
    const field = document.createElement("input");
    field.value = pick.querySelector("strong").textContent;
    field.maxLength = 80;
    field.setAttribute("aria-label", button.dataset.label);
    field.pick = pick;
    pick.replaceWith(field);
    field.select();
  }

  /* The field is left; `kept`: with what it says. */
  renamed(field, kept) {
    const { pick } = field;
    if (!pick) return;
    field.pick = null; // taking it out of the page makes it lose the focus once more
    field.replaceWith(pick);
    const title = pick.querySelector("strong");
    if (!kept || field.value === title.textContent) return;
    title.textContent = field.value;
    this.act({ take: Number(pick.closest("li").dataset.take), act: "rename", name: field.value });
  }

  key(event) {
    if (event.target.matches(".mg-play")) this.arrow(event);
    if (!event.target.matches("input")) return;
    if (event.key === "Enter" || event.key === "Escape") this.renamed(event.target, event.key === "Enter");
  }

  arrow(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return; // those are the browser's
    const row = event.target.closest("li");
    const beside = { ArrowUp: row.previousElementSibling, ArrowDown: row.nextElementSibling }[event.key];
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (step && row.dataset.take === this.take) this.audio.currentTime += step; // the browser keeps it within the take
    beside?.querySelector(".mg-play").focus();
    if (beside || step) event.preventDefault();
  }
}
window.Tray = Tray;
