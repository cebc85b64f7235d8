/** A wire between a page and the server that a test can cut, or leave hanging as a phone's sleep does. */

import { connect, createServer } from 'node:net';

export class Wire {
  #port;
  #server = createServer((near) => this.#join(near));
  /** @type {Set<import('node:net').Socket>} */
  #ends = new Set();
  #cut = false;

  /** @param {string} url of the server */
  constructor(url) {
    this.#port = Number(new URL(url).port);
  }

  /** Where the page is on this side. */
  get url() {
    const address = this.#server.address();
    return address !== null && typeof address === 'object' ? `http://127.0.0.1:${address.port}` : '';
  }

  /** @returns {Promise<void>} */
  start() {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve());
    });
  }

  /** Nothing passes any longer, and both sides are told. */
  cut() {
    this.#cut = true;
    for (const end of this.#ends) end.destroy();
  }

  mend() {
    this.#cut = false;
  }

  /** What is open hangs for ever and nobody is told; new connections work. */
  hang() {
    for (const end of this.#ends) {
      end.unpipe();
      end.pause();
    }
  }

  stop() {
    this.cut();
    this.#server.close();
  }

  /** @param {import('node:net').Socket} near */
  #join(near) {
    if (this.#cut) {
      near.destroy();
      return;
    }
    const far = connect(this.#port, '127.0.0.1');
    for (const [end, other] of [[near, far], [far, near]]) {
      this.#ends.add(end);
      end.pipe(other);
      end.on('error', () => other.destroy());
      end.on('close', () => {
        this.#ends.delete(end);
        other.destroy();
      });
    }
  }
}
