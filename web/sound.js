/** A soft knock for whoever asked for one: no file, two short tones. */

/** The knock's two tones, in Hz, and how far apart they begin, in s. */
const TONES_HZ = [523, 784];
const APART_S = 0.09;
const LENGTH_S = 0.18;
const LOUDNESS = 0.12;

export class Sound {
  /** @type {AudioContext | null} */
  #context = null;

  /** Browsers let a page be heard once somebody has touched it: call this when that happens. */
  async touched() {
    this.#context ??= new AudioContext();
    if (this.#context.state === 'suspended') await this.#context.resume();
  }

  knock() {
    const context = this.#context;
    if (context === null || context.state !== 'running') return;
    TONES_HZ.forEach((hz, index) => {
      const from = context.currentTime + index * APART_S;
      const tone = new OscillatorNode(context, { type: 'triangle', frequency: hz });
      const loudness = new GainNode(context, { gain: LOUDNESS });
      loudness.gain.setValueAtTime(LOUDNESS, from);
      loudness.gain.exponentialRampToValueAtTime(0.001, from + LENGTH_S);
      tone.connect(loudness).connect(context.destination);
      tone.start(from);
      tone.stop(from + LENGTH_S);
    });
  }
}
