/** Every word that people read; what is read before a script runs, or without one, stands in its file as well, and a test holds them equal. */

/** @param {number} ms */
function seconds(ms) {
  return ms < 10_000 ? `${Math.max(0.1, ms / 1000).toFixed(1)} s` : `${Math.ceil(ms / 1000)} s`;
}

/** @param {number} count @param {string} one @param {string} many */
function counted(count, one, many) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

const title = 'Pixel Playground';
const about = 'One canvas, everyone paints.';
const anonymous = 'Anonymous';
const connecting = 'Opening the canvas…';
const needsScript = 'This page paints with JavaScript. Please switch it on.';

export const texts = {
  title,
  anonymous,
  /** As the wordmark has it, line by line. */
  wordmark: ['PIXEL', 'PLAYGROUND'],

  /** What stands in the files themselves, in the order of the file. @type {Record<string, string[]>} */
  files: {
    'index.html': [
      title, about, 'Canvas. Arrow keys move, Enter paints.', title, anonymous, connecting,
      'Enter', 'Space', 'Home', 'Ctrl', 'Esc', needsScript,
    ],
    'start.html': ['Canvases · Pixel Playground', 'The canvases of this playground.', 'Pixel Playground: canvases', needsScript],
    '404.html': [
      'Nothing here · Pixel Playground', 'Nothing is painted here.', 'The sheet you asked for does not exist, or no longer.', 'Go to the canvas',
    ],
    'manifest.webmanifest': [title, 'Pixels', about],
  },

  /** What index.html names by `data-text`, `data-label` and `data-title`. @type {Record<string, string>} */
  page: {
    peopleAndKeys: 'People and keys',
    peopleAndMore: 'Who is here, keys, templates and more (?)',
    youAre: 'You are',
    whoIsHere: 'Who is here',
    close: 'Close',
    hands: 'Hands',
    howBrush: 'Tap or drag to paint. Two fingers, the right button, or Space held move the sheet. Wheel or pinch to come closer.',
    howCooldown: 'Tap to paint, drag to move the sheet. Wheel or pinch to come closer. After each pixel the ink dries for a while.',
    knock: 'Knock when my ink is dry',
    letters: 'Letters on the colours',
    howCard: 'A pixel tells who painted it when the pointer rests on it, or a finger stays.',
    keys: 'Keys',
    keyWalk: 'walk, with Shift in strides',
    keyPaint: 'paint',
    keyNumber: 'a colour by its number',
    keyColour: 'the colour before, after',
    keyTake: 'take the colour under the pointer, as the middle button does',
    keyMove: 'move the sheet',
    keyZoom: 'closer, farther',
    keyFit: 'the whole sheet',
    keyUndo: 'undo, with Shift redo',
    keyNext: 'the next wrong pixel of a template',
    keyBrush: 'brush: a drag paints (Shift held does too)',
    keySheet: 'this sheet',
    keyClose: 'put a card or sheet away',
    template: 'Lay a template over it',
    picture: 'Take the picture home (PNG)',
    host: 'For the host',
    anyColour: 'Any colour',
    state: 'State',
    colours: 'Colours',
    undo: 'Undo',
    redo: 'Redo',
    brush: 'Brush: drag to paint strokes',
    colour: 'Colour',
    recentColours: 'Recent colours',
    undoTitle: 'Undo (Ctrl+Z)',
    redoTitle: 'Redo (Ctrl+Shift+Z)',
    brushTitle: 'Brush (B)',
  },

  connecting,
  loading: 'Loading the canvas…',
  live: 'Live. Everyone sees what you paint.',
  frozen: 'The host has frozen this canvas. Looking is free.',
  middleOnly: 'Only the middle is shown. Come closer to see the rest.',
  stale: 'The store is away. What you see may be a little old.',
  reconnecting: 'Reconnecting. The canvas may be a little old.',
  /** @param {number} count */
  reconnectingWith: (count) => `Reconnecting. ${counted(count, 'pixel waits', 'pixels wait')} with you.`,
  offline: 'This device is offline. The page carries on when it is back.',
  noSuchCanvas: 'This canvas is gone. What you see is how it was.',
  turnedAway: 'No connection is free right now. The page keeps trying.',
  painting: 'A little fast. The rest of your pixels follow.',
  tooMuchWaiting: 'That is as much as can wait. Paint on when the connection is back.',

  /** Why a placement was taken back, by the reason of `REFUSED`. */
  refused: {
    /** @param {number} retryMs */
    cooldown: (retryMs) => `Taken back: your next pixel is ready in ${seconds(retryMs)}.`,
    /** @param {string} sentence */
    because: (sentence) => `Taken back: ${sentence.replace(/[.\s]+$/u, '')}.`,
    frozen: 'Taken back: the host has frozen this canvas.',
    gone: 'Taken back: this canvas is gone.',
    stale: 'Taken back: it waited too long for an answer.',
  },

  /** Of a stroke that is longer than the server remembers. @param {number} count */
  undoneOnly: (count) => `Only the last ${counted(count, 'pixel', 'pixels')} could be taken back.`,
  otherColours: 'this canvas has other colours now',

  /** Where an undo or redo finds nothing. */
  nothingTo: {
    undo: 'Nothing to undo: your pixels were taken back already, painted over, or are too long ago.',
    redo: 'Nothing to redo.',
  },

  /** What was undone or done again. */
  retraced: {
    /** @param {number} count */
    undo: (count) => `Undone: ${counted(count, 'pixel', 'pixels')}.`,
    /** @param {number} count */
    redo: (count) => `Done again: ${counted(count, 'pixel', 'pixels')}.`,
  },

  /** Why an undo or redo did not happen. */
  notRetraced: {
    /** @param {number} retryMs */
    cooldown: (retryMs) => `Not yet: wait another ${seconds(retryMs)}.`,
    /** @param {string} sentence */
    because: (sentence) => `Nothing changed: ${sentence.replace(/[.\s]+$/u, '')}.`,
    frozen: 'Nothing changed: the host has frozen this canvas.',
    gone: 'Nothing changed: this canvas is gone.',
    stale: 'Nothing changed: it waited too long for an answer.',
  },

  /** @param {number} ms */
  readyIn: (ms) => `Your next pixel is ready in ${counted(Math.ceil(ms / 1_000), 'second', 'seconds')}.`,
  /** At most four characters. @param {number} ms */
  readyShort: (ms) => {
    const s = Math.ceil(ms / 1_000);
    if (s < 100) return String(s);
    return s < 600 ? `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}` : s < 5_400 ? `${Math.ceil(s / 60)}m` : `${Math.ceil(s / 3_600)}h`;
  },
  /** @param {number} charges */
  charges: (charges) => `${counted(charges, 'pixel is', 'pixels are')} ready.`,
  brush: { on: 'Brush: a drag paints.', off: 'Brush put down: a drag moves the sheet.' },

  /** @param {number} count */
  here: (count) => counted(count, 'person here', 'people here'),
  nobodyNamed: 'Nobody has given a name yet.',
  /** @param {number} count */
  andOthers: (count) => `and ${counted(count, 'other', 'others')}`,
  you: 'you',

  /** @param {number} width @param {number} height */
  canvasLabel: (width, height) => `Canvas, ${width} by ${height} pixels. Arrow keys move, Enter paints.`,
  /** @param {number} x @param {number} y @param {string} color */
  cellAt: (x, y, color) => `${x}, ${y}: ${color}`,
  /** @param {number} x @param {number} y @param {string} color */
  painted: (x, y, color) => `Painted ${x}, ${y} ${color}.`,
  /** @param {string} color */
  chosen: (color) => `${color} chosen.`,
  notLoaded: 'not loaded yet',
  recent: 'Recent colour',

  /** On an empty canvas, in letters that `lettering.js` has. */
  hint: 'PICK. TAP. PAINT.',

  partNotLoaded: 'This part could not be loaded. Reload the page, or try again later.',

  /** How long ago. @param {number} ms */
  ago: (ms) => {
    const [minutes, hours, days] = [ms / 60_000, ms / 3_600_000, ms / 86_400_000].map(Math.floor);
    if (days > 0) return `${counted(days, 'day', 'days')} ago`;
    if (hours > 0) return `${counted(hours, 'hour', 'hours')} ago`;
    return minutes > 0 ? `${counted(minutes, 'minute', 'minutes')} ago` : 'just now';
  },

  /** The card of one pixel. */
  card: {
    label: 'This pixel',
    nobody: 'Nobody yet',
    somebody: 'Somebody',
    use: 'Use this colour',
    /** @param {number} x @param {number} y @param {string} color @param {string} by @param {string} age */
    said: (x, y, color, by, age) => (age === '' ? `${x}, ${y}: ${color}, nobody painted it yet.` : `${x}, ${y}: ${color}, painted by ${by}, ${age}.`),
  },

  /** The host's sheet. */
  host: {
    title: 'Host',
    askToken: 'Whoever has the admin token is the host. The server printed where it lies when it started.',
    token: 'Admin token',
    enter: 'I am the host',
    notTheHost: 'That is not this server’s token.',
    forget: 'Forget the token',
    forgotten: 'The token is forgotten.',
    noAnswer: 'The server does not answer. Nothing is lost: try again.',
    busy: 'One thing at a time: the last one is still on its way.',
    /** @param {string} sentence of the server */
    refused: (sentence) => `The server says: ${sentence.replace(/[.\s]+$/u, '')}.`,
    /** @param {number} count 0: any */
    colours: (count) => (count === 0 ? 'any colour' : counted(count, 'colour', 'colours')),
    freezing: 'Freeze',
    freezingMeans: 'On a frozen canvas everyone looks and nobody paints.',
    freeze: 'Freeze the canvas',
    thaw: 'Let them paint again',
    isFrozen: 'The canvas is frozen.',
    cooldown: 'Cooldown',
    seconds: 'Seconds a pixel',
    charges: 'Saved up at most',
    setCooldown: 'Set the cooldown',
    /** @param {number} ms */
    cooldownSet: (ms) => (ms === 0 ? 'There is no cooldown now.' : `A pixel takes ${ms / 1_000} s to dry now.`),
    picture: 'Picture',
    download: 'Take the picture home (PNG)',
    pictureTooLarge: 'This canvas is too large for one picture. The API draws it in parts.',
    bare: 'The canvas alone, for a wall or a stream',
    making: 'New canvas',
    id: 'Address, after /c/',
    name: 'Name',
    width: 'Width',
    height: 'Height',
    palette: 'Colours, as #RRGGBB; empty for any',
    make: 'Make it',
    made: 'It is there:',
    blanking: 'Start over',
    /** Before and after the canvas' name. */
    typeName: ['Type “', '”, and everything painted here is gone'],
    blank: 'Make it blank',
    isBlank: 'The canvas is blank.',
  },

  /** The template's sheet. */
  template: {
    title: 'Template',
    what: 'Lay a picture file over the canvas and paint after it. It stays in this browser; nobody else sees it.',
    /** @param {number} width @param {number} height @param {number} x @param {number} y */
    chooseSame: (width, height, x, y) => `A template of ${width} × ${height} lies at ${x}, ${y}. Choose its file to see it.`,
    choose: 'Choose a file',
    chooseIt: 'Choose it',
    another: 'Choose another file',
    reading: 'Reading the file…',
    fileTooLarge: 'That file has more than 32 MiB. A smaller one can be laid here.',
    unreadable: 'That file could not be read.',
    noPicture: 'That is no picture that this page reads. PNG, GIF, WebP, JPEG and BMP can be laid here.',
    /** @param {number} width @param {number} height */
    tooManyPixels: (width, height) => `That picture has ${width.toLocaleString('en')} × ${height.toLocaleString('en')} pixels. 4,096 × 4,096 is as much as can be laid here.`,
    damaged: 'That picture is damaged: it could not be read.',
    nothingInIt: 'There is nothing in that picture to paint: all of it is transparent.',
    notKept: 'This browser keeps no files right now. Choose it again after a reload.',
    anotherFile: 'That is another file than the link names. It is laid in the middle.',
    /** @param {import('./template.js').Progress} progress */
    progress: ({ right, known, total, counted: done }) => {
      const part = `${right.toLocaleString('en')} of ${total.toLocaleString('en')} right`;
      if (!done) return `${part}, counting…`;
      return known < total ? `${part}, ${(total - known).toLocaleString('en')} not loaded` : `${part}, ${total === 0 ? 0 : Math.floor(100 * right / total)} %`;
    },
    map: 'Map of wrong pixels: those in ink are wrong',
    next: 'Next wrong pixel',
    nothingWrong: 'Nothing is wrong: the template is painted.',
    notKnown: 'Nothing wrong is known yet: some of it is still loading.',
    beyond: 'The template lies outside of the canvas.',
    look: 'Look',
    style: 'Style',
    styles: { picture: '1:1', dots: 'Dots', symbols: 'Letters' },
    opacity: 'Opacity',
    where: 'Place',
    x: 'From the left',
    y: 'From the top',
    width: 'Width',
    move: 'Move it by hand',
    dragIt: 'Drag the template to its place.',
    moveKeys: 'Arrow keys move the template, Enter is done.',
    /** @param {number} x @param {number} y */
    liesAt: (x, y) => `The template lies at ${x}, ${y}.`,
    done: 'Done',
    share: 'Share',
    shareHow: 'The link carries place and size. Your friend needs the same file.',
    link: 'Link',
    copy: 'Copy the link',
    copied: 'The link is copied.',
    copyYourself: 'The link is marked: copy it.',
    file: 'File',
    show: 'Show it',
    hide: 'Hide it',
    leave: 'Take it away',
  },

  /** The page that lists the canvases. */
  start: {
    title: 'Canvases',
    none: 'There is no canvas yet.',
    noAnswer: 'The server does not answer. Trying again.',
    /** @param {number} width @param {number} height */
    size: (width, height) => `${width.toLocaleString('en')} × ${height.toLocaleString('en')}`,
    /** @param {number} ms */
    cooldown: (ms) => (ms === 0 ? 'no cooldown' : `a pixel every ${seconds(ms).replace('.0 ', ' ')}`),
    frozen: 'frozen',
  },

  /** @param {number} count */
  allCanvases: (count) => `All ${count.toLocaleString('en')} canvases`,
};

/** The names of hues, by the degree at which each begins. */
const HUES = /** @type {const} */ ([
  [12, 'red'], [40, 'orange'], [66, 'yellow'], [160, 'green'], [195, 'teal'],
  [258, 'blue'], [288, 'violet'], [345, 'pink'], [361, 'red'],
]);

/**
 * A plain name for any colour, for people who hear the page.
 * @param {string} hex `#RRGGBB`
 */
export function colorName(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 0xff, value & 0xff];
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  const light = (most + least) / 510;
  const spread = most - least;
  if (spread < 24) {
    if (light > 0.96) return 'white';
    if (light < 0.14) return 'black';
    return light > 0.6 ? 'light grey' : light > 0.35 ? 'grey' : 'dark grey';
  }
  let hue = 0;
  if (most === red) hue = ((green - blue) / spread + 6) % 6;
  else if (most === green) hue = (blue - red) / spread + 2;
  else hue = (red - green) / spread + 4;
  const degrees = hue * 60;
  const family = HUES.find(([end]) => degrees < end)?.[1] ?? 'red';
  if (family === 'orange' && light < 0.42) return 'brown';
  if (light > 0.72) return `light ${family}`;
  return light < 0.3 ? `dark ${family}` : family;
}
