(...values) => {
  const fields = Object.fromEntries(REMEMBERED.map((name, i) => [name, values[i]]));
  const hears = fields.tab === "audio";
  const told = { mode: hears ? fields.mode : fields.tab, prompt: hears ? fields.description : fields.prompts };
  for (const name of ["model", "engine", "takes", ...SETTINGS]) told[name] = fields[name];
  if (told.mode === "melody") told.without_drums = fields.without_drums;
  if (fields.locked) told.seed = fields.seed;
  if (told.mode === "unconditional") delete told.prompt;
  const url = new URL(window.location.href);
  url.search = new URLSearchParams(Object.entries(told).filter(([, value]) => value !== null && value !== ""));
  const button = document.querySelector("#mg-link");
  const copied = () => (button.dataset.copied = "");
  const shown = () => history.replaceState(null, "", url); // a frame may not copy: then the address bar has it
  if (navigator.clipboard) navigator.clipboard.writeText(url.href).then(copied, shown);
  else shown();
  setTimeout(() => delete button.dataset.copied, 3000);
}
