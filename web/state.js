/** How it stands with the canvas, in one word for the page and one calm sentence for people. */

import { texts } from './texts.js';

/**
 * @typedef {object} Known
 * @property {{ frozen: boolean, stale: boolean } | null} rules
 * @property {boolean} offline
 * @property {boolean} greeted a server has said hello once
 * @property {boolean} live there is a connection
 * @property {import('./lookout.js').Finding} finding
 * @property {number} missing chunks
 * @property {number} waiting placements
 * @property {boolean} middleOnly more is in view than is held
 */

/** @param {Known} known @returns {{ state: string, sentence: string }} */
export function stateOf({ rules, offline, greeted, live, finding, missing, waiting, middleOnly }) {
  if (finding === 'gone') return { state: 'gone', sentence: texts.noSuchCanvas };
  if (!live) {
    if (offline) return { state: 'offline', sentence: texts.offline };
    if (finding === 'turned away') return { state: 'turned away', sentence: texts.turnedAway };
    if (!greeted) return { state: 'connecting', sentence: texts.connecting };
    return { state: 'reconnecting', sentence: waiting > 0 ? texts.reconnectingWith(waiting) : texts.reconnecting };
  }
  if (rules?.stale) return { state: 'stale', sentence: texts.stale };
  if (missing > 0) return { state: 'loading', sentence: texts.loading };
  return { state: 'live', sentence: middleOnly ? texts.middleOnly : rules?.frozen ? texts.frozen : texts.live };
}
