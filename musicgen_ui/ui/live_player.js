/* Plays a take while it is being made.

GET listen/<token> gives the take as a WAV file that grows (broadcast.py). Every chunk of it becomes an
AudioBuffer that begins on the very frame on which the one before it ends: the AudioContext runs at the take's
sampling rate, so that nothing is interpolated between them, and what is scheduled plays on however busy the
page is. (An AudioWorklet could do it too, but is there only over HTTPS and on localhost.)

Times are seconds. Frames are counted from where a stream begins; `end` is a frame of the context.
*/

const FADE = 0.02; // for everything that would click: a pause, a stop, sound that runs out
const LEAD = 0.15; // from scheduling to sounding: the audio thread is ahead of what currentTime tells
const BUFFER = 0.2; // of sound in hand before playing starts
const MARGIN = 0.3; // that the take shall be complete before its playing needs it to be
const DRIFT = 1.1; // steps get slower as the take grows
const LONGEST_PIECE = 2; // what comes at once is taken for one; a late listener gets more
const ATTEMPTS = 5; // to take up a connection that broke off
const USUAL_RATE = 32000; // Hz

const now = () => performance.now() / 1000;
const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
const bounded = (value, low, high) => Math.min(Math.max(value, low), high);

/* One run's sound, from the server to the loudspeaker. */
class LiveStream {
  constructor(token, contextAt) {
    this.token = token;
    this.contextAt = contextAt; // rate in Hz → AudioContext
    this.connection = new AbortController();
    this.context = null; // until the header has come
    this.received = 0; // frames
    this.expected = 0; // frames of the whole take
    this.waiting = []; // buffers not scheduled yet
    this.due = Infinity; // when they will be, by what is known so far
    this.scheduled = 0; // frames
    this.flowing = false; // whether what comes is scheduled at once
    this.complete = false;
    this.paused = false;
    this.piece = 0; // seconds that come at once
    this.receive();
  }

  async receive() {
    const { signal } = this.connection;
    for (let attempt = 0; attempt < ATTEMPTS && !this.complete; attempt++) {
      const before = this.received;
      try {
        const response = await fetch(`listen/${this.token}?skip=${before}`, { signal, cache: "no-store" });
        if (response.ok) await this.read(response);
        // An end before the take's: the run was stopped, and no more comes; or a proxy lost patience.
        this.complete = this.received === before || this.received >= this.expected;
      } catch {
        if (signal.aborted) return;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
      if (this.received > before) attempt = 0;
    }
    this.complete = true;
    if (this.context) this.schedule();
  }

  /* The body of one response: 44 bytes of header, then interleaved 16-bit samples. */
  async read(response) {
    const reader = response.body.getReader();
    const since = now() - Number(response.headers.get("X-Seconds-Making"));
    let bytes = new Uint8Array(0);
    let headed = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const rest = bytes;
      bytes = new Uint8Array(rest.length + value.length);
      bytes.set(rest);
      bytes.set(value, rest.length);
      if (!headed) {
        if (bytes.length < 44) continue;
        this.open(new DataView(bytes.buffer), since);
        bytes = bytes.slice(44);
        headed = true;
      }
      const whole = bytes.length - (bytes.length % (2 * this.channels));
      if (whole) this.add(new Int16Array(bytes.slice(0, whole).buffer));
      bytes = bytes.slice(whole);
    }
  }

  open(header, since) {
    if (this.context) return; // taken up again
    this.channels = header.getUint16(22, true);
    this.rate = header.getUint32(24, true);
    this.expected = header.getUint32(40, true) / (2 * this.channels);
    this.since = since; // when the making began
    this.context = this.contextAt(this.rate);
    this.end = 0;
    this.supply = new GainNode(this.context); // falls to 0 where what has come ends
    this.volume = new GainNode(this.context); // for pause and stop
    this.supply.connect(this.volume).connect(this.context.destination);
    if (this.paused) this.pause();
  }

  add(samples) {
    const frames = samples.length / this.channels;
    const buffer = this.context.createBuffer(this.channels, frames, this.rate);
    for (let channel = 0; channel < this.channels; channel++) {
      const target = buffer.getChannelData(channel);
      for (let frame = 0; frame < frames; frame++) target[frame] = samples[frame * this.channels + channel] / 32767;
    }
    if (!(now() - this.lastCame < 0.05)) this.burst = 0;
    this.lastCame = now();
    this.burst += frames / this.rate;
    this.piece = Math.max(this.piece, Math.min(this.burst, LONGEST_PIECE));
    this.received += frames;
    this.waiting.push(buffer);
    this.schedule();
  }

  /* For how long playing had better wait, so that it needn't stop on its way; 0 or less: it can start.
     Where the machine is slower than real time that is until making and playing end together. */
  get delay() {
    if (this.complete) return 0;
    if (!this.received) return Infinity;
    const missing = Math.max(0, this.expected - this.received) / this.rate;
    const pace = this.received / this.rate / (now() - this.since); // seconds of sound per second
    const held = (this.received - this.scheduled) / this.rate;
    return Math.max(BUFFER - held, (missing / pace) * DRIFT + this.piece + MARGIN - (held + missing));
  }

  /* Hands over what waits, if it is time to. */
  schedule() {
    const { context, rate, supply } = this;
    const time = context.currentTime;
    if (this.flowing && time + LEAD > this.fall) this.flowing = false; // it is falling silent already
    if (this.flowing) {
      supply.gain.cancelScheduledValues(this.fall);
    } else {
      if (!this.waiting.length) return;
      const delay = this.delay;
      this.due = now() + delay;
      if (delay > 0) return;
      this.end = Math.max(this.end, Math.ceil((time + LEAD) * rate));
      if (this.scheduled) {
        supply.gain.setValueAtTime(0, this.end / rate);
        supply.gain.linearRampToValueAtTime(1, this.end / rate + FADE);
      }
      this.flowing = true;
    }
    for (const buffer of this.waiting) {
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(supply);
      source.start(this.end / rate);
      this.end += buffer.length;
      this.scheduled += buffer.length;
    }
    this.waiting = [];
    this.fall = this.end / rate - FADE;
    if (!this.complete) {
      supply.gain.setValueAtTime(1, this.fall);
      supply.gain.linearRampToValueAtTime(0, this.end / rate);
    }
  }

  /* Seconds heard. */
  get position() {
    if (!this.scheduled) return 0;
    const begin = (this.end - this.scheduled) / this.rate;
    return bounded(this.context.currentTime - begin, 0, this.scheduled / this.rate);
  }

  get state() {
    if (this.complete && (!this.context || this.position >= this.received / this.rate)) return "silent";
    if (this.paused || (this.flowing && this.context.state !== "running")) return "paused";
    return this.flowing && this.context.currentTime < this.end / this.rate ? "playing" : "waiting";
  }

  pause() {
    this.paused = true;
    if (!this.context) return;
    this.fade(0);
    setTimeout(() => this.paused && this.context.suspend(), 2000 * FADE);
  }

  resume() {
    this.paused = false;
    if (!this.context) return;
    this.context.resume();
    this.fade(1);
  }

  /* No more of it, sent or sounding. */
  stop() {
    this.connection.abort();
    this.complete = true;
    this.paused = false;
    this.waiting = [];
    if (!this.context) return;
    this.fade(0);
    setTimeout(() => this.volume.disconnect(), 2000 * FADE);
  }

  fade(level) {
    const { gain } = this.volume;
    gain.cancelScheduledValues(0);
    gain.setValueAtTime(gain.value, this.context.currentTime);
    gain.linearRampToValueAtTime(level, this.context.currentTime + FADE);
  }
}

/* The line in the page: the switch, and play, pause and the time of the stream that sounds. */
class LivePlayer {
  constructor(element) {
    this.line = element.querySelector(".mg-live");
    this.toggle = this.line.querySelector("input");
    this.clock = this.line.querySelector(".mg-live-clock");
    this.context = null;
    this.stream = null;
    this.token = null;
    this.toggle.checked = this.remembered() !== "off";
    this.toggle.addEventListener("change", () => {
      this.remember(this.toggle.checked ? "on" : "off");
      this.silence();
      if (this.toggle.checked && this.token) this.listen(this.token);
    });
    this.line.querySelector(".mg-live-pause").addEventListener("click", () => this.pause(true));
    this.line.querySelector(".mg-live-play").addEventListener("click", () => this.pause(false));
    document.addEventListener("click", (event) => this.clicked(event.target), true);
    this.other = null; // the media element, or loop, that played last
    this.watchOthers();
    setInterval(() => this.show(), 200);
  }

  clicked(target) {
    const starts = target.closest(".mg-starts");
    if (!starts && !target.closest("#mg-stop")) return;
    this.token = null;
    this.silence();
    if (starts && this.toggle.checked) this.contextAt(this.context?.sampleRate ?? USUAL_RATE);
  }

  /* First called within a click, or the browser wouldn't allow it. Sleeps again unless there is something to play. */
  contextAt(rate) {
    if (this.context?.sampleRate !== rate) {
      this.context?.close();
      this.context = new AudioContext({ sampleRate: rate, latencyHint: "playback" });
    }
    this.context.resume().then(
      () => this.rest(),
      () => {}, // closed meanwhile
    );
    return this.context;
  }

  listen(token) {
    this.silence();
    this.token = token;
    if (token && this.toggle.checked) {
      this.stream = new LiveStream(token, (rate) => this.contextAt(rate));
      this.other?.pause();
    }
    this.show();
  }

  /* Never two sounds at once. Gradio keeps the media elements of its players out of the document, where no
     event of theirs can be heard; but they all have to be told to play. */
  watchOthers() {
    const player = this;
    const { play } = HTMLMediaElement.prototype;
    HTMLMediaElement.prototype.play = function () {
      player.only(this);
      return play.call(this);
    };
  }

  /* `other` begins to play: whatever sounded is paused. */
  only(other) {
    if (this.other !== other) this.other?.pause();
    this.other = other;
    this.silence();
  }

  silence() {
    this.stream?.stop();
    this.stream = null;
    setTimeout(() => this.rest(), 3000 * FADE);
    this.show();
  }

  rest() {
    if (!this.stream) this.context?.suspend();
  }

  pause(paused) {
    if (paused) this.stream?.pause();
    else this.stream?.resume();
    this.show();
    this.line.querySelector(paused ? ".mg-live-play" : ".mg-live-pause").focus();
  }

  show() {
    if (this.stream?.state === "silent") {
      this.stream = null;
      this.rest();
    }
    const state = this.stream?.state ?? "silent";
    if (this.line.dataset.state !== state) this.line.dataset.state = state;
    const seconds = state === "waiting" ? Math.ceil(this.stream.due - now()) : Math.floor(this.stream?.position ?? 0);
    const text = Number.isFinite(seconds) ? minutes(Math.max(seconds, 0)) : "";
    if (this.clock.textContent !== text) this.clock.textContent = text;
  }

  /* In a frame of another site there may be no storage. */
  remembered() {
    try {
      return localStorage.getItem("musicgen.live");
    } catch {
      return null;
    }
  }

  remember(choice) {
    try {
      localStorage.setItem("musicgen.live", choice);
    } catch {}
  }
}

/* A play button (.mg-play) says what a click would do: its other name waits in data-pause. */
function markPlay(button, sounds) {
  if (button.classList.contains("mg-sounds") === sounds) return;
  button.classList.toggle("mg-sounds", sounds);
  const label = button.getAttribute("aria-label");
  button.setAttribute("aria-label", button.dataset.pause);
  button.dataset.pause = label;
}
