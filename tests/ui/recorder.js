// Records what the page's AudioContexts hand to the loudspeaker: context.heard, a list of [left, right] blocks.
(() => {
  const processor = `registerProcessor("recorder", class extends AudioWorkletProcessor {
    process([input]) {
      const silence = [new Float32Array(128), new Float32Array(128)];
      this.port.postMessage(input.length ? input.map((channel) => channel.slice()) : silence);
      return true;
    }
  });`;
  const url = URL.createObjectURL(new Blob([processor], { type: "text/javascript" }));
  const { connect } = AudioNode.prototype;
  window.AudioContext = class extends AudioContext {
    constructor(options) {
      super(options);
      this.heard = [];
      this.recorder = this.audioWorklet.addModule(url).then(
        () => {
          const form = { channelCount: 2, channelCountMode: "explicit", channelInterpretation: "speakers" };
          const node = new AudioWorkletNode(this, "recorder", form);
          node.port.onmessage = ({ data }) => this.heard.push(data);
          connect.call(node, this.destination);
          return node;
        },
        () => null, // a context that is closed at once: Gradio's waveform decodes with one
      );
    }
  };
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      this.context.recorder?.then((recorder) => recorder && connect.call(this, recorder));
    }
    return connect.call(this, target, ...rest);
  };
})();
