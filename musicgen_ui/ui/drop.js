/* A file that is dropped on the page is a take whose settings are wanted: it goes to a button that nobody sees, as if it
   had been chosen there (dropping.py). What takes files of its own keeps them. `element` holds the hint. */
const FILES_OF_THEIR_OWN = ".mg-clip, .mg-files, .mg-config";
const STILL = 600; // ms in which a drag that is over the page says so again
const placeOf = (event) => (event.target.closest ? event.target : event.target.parentElement); // Firefox: a text, too

class Drop {
  constructor(element) {
    this.element = element;
    for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => this[name](event), true);
  }

  get hint() {
    return this.element.querySelector(".mg-drop"); // Gradio draws it anew
  }

  dragover(event) {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // else the browser leaves the page for the file
    const own = placeOf(event).closest(FILES_OF_THEIR_OWN);
    if (own && !own.querySelector("[aria-dropeffect]")) event.dataTransfer.dropEffect = "none"; // its clip is there
    this.show(!own);
  }

  drop(event) {
    this.show(false);
    const [file] = event.dataTransfer.files;
    if (!file || placeOf(event).closest(FILES_OF_THEIR_OWN)) return;
    event.preventDefault();
    event.stopPropagation();
    const folder = event.dataTransfer.items[0].webkitGetAsEntry()?.isDirectory;
    const foreign = folder || file.size > this.hint.dataset.most; // it may go without its content, to be told so
    const chosen = new DataTransfer();
    chosen.items.add(foreign ? new File([], file.name) : file);
    const field = document.querySelector("#mg-dropped input");
    field.files = chosen.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    document.querySelector("#mg-status").scrollIntoView({ block: "nearest" }); // where it is told what came of it
  }

  show(shown) {
    this.hint.hidden = !shown;
    clearTimeout(this.timer);
    if (shown) this.timer = setTimeout(() => this.show(false), STILL);
  }
}
window.Drop = Drop;
