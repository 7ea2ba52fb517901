// What the page knows. It outlives the server: when that goes away, all of this
// stays.

export const keep = 2_000; // lines
export const bucket = 3_000; // ms, of which the lines are counted for the rate
const activities = 200;
const quiet = 6_500; // ms without anything from the server; it sends something every 5 s
export const recent = 20_000; // ms for which a recovery is news

export class Model {
  state = null; // the last snapshot, kept up to date by the stream
  lines = []; // the latest, in order; at is in ms, or null if unknown
  start = 0; // how often lines started again
  fault = null; // the last line that does not follow the one before
  lost = 0; // numbers that are missing before such lines
  oldFrom = 0; // the first number after what is not a count, in an old file
  activities = []; // oldest first
  interruptions = new Map(); // those that are over, by the line after them
  perBucket = new Map(); // lines by time, for the rate
  awaySince = null; // ms, while the server does not answer
  opened = performance.now();
  refused = false; // the server has too many readers
  #base = 0; // the server's clock when performance.now() was 0
  #heard = performance.now();

  // now is the time on the server's clock. It does not depend on this machine's
  // clock, which may be set at any time.
  now() { return this.#base + performance.now(); }

  takeTime(t) { this.#base = Date.parse(t) - performance.now(); }

  takeHeard() { this.#heard = performance.now(); }

  // silent is for how long nothing has come from the server, if that is long.
  silent() {
    const ms = performance.now() - this.#heard;
    return ms > quiet && !document.hidden ? ms : 0;
  }

  takeLink(how) {
    this.refused = how === 'refused';
    if (how === 'away') {
      if (this.awaySince === null && this.state !== null) this.awaySince = this.#base + this.#heard;
    } else {
      this.awaySince = null;
    }
  }

  takeState(s) {
    if (this.state !== null && this.state.assets !== s.assets) reload(s.assets);
    const known = this.last()?.line ?? 0;
    if (known > s.lines || s.lines - known > keep) {
      this.lines = [];
      this.start++;
      [this.fault, this.lost, this.oldFrom] = [null, 0, 0];
    }
    this.state = s;
    this.takeTime(s.now);
    this.takeLink('live');
    const last = this.last();
    if (last?.line === s.last?.line && last?.at === null && s.last.at) last.at = Date.parse(s.last.at);
    for (const a of s.happenings) this.takeActivity(a);
    for (const i of s.interruptions) this.takeInterruption(i);
  }

  takeStatus(s) {
    const { lines, count } = this.state;
    Object.assign(this.state, { storage: undefined, interruption: undefined }, s);
    this.state.lines = Math.max(lines, s.lines);
    this.state.count = Math.max(count, s.count);
    this.takeTime(s.now);
    for (const [i, seat] of s.seats.entries()) presence(this.state.lanes[i + 1].spans, seat.taken, seat.since);
  }

  // position is the line after which the stream has to begin.
  position() {
    return this.last()?.line ?? Math.max(0, this.state.lines - keep);
  }

  takeLine(l) {
    const before = this.last();
    if (before && l.line <= before.line) return;
    const at = l.at ? Date.parse(l.at) : null;
    const interruption = this.interruptions.get(l.line);
    const gap = interruption ? interruption.seconds * 1000 : at !== null && before?.at ? at - before.at : null;
    this.#check(before, l);
    this.lines.push({ ...l, at, timed: at !== null, gap, interruption });
    if (this.lines.length > keep) this.lines.shift();
    if (at !== null) {
      const b = Math.floor(at / bucket);
      this.perBucket.set(b, (this.perBucket.get(b) ?? 0) + 1);
      if (l.number) this.state.count = Math.max(this.state.count, l.number);
    }
    this.state.lines = Math.max(this.state.lines, l.line);
  }

  // check compares a line with the one before. What stood in an old file before
  // the count was continued is not a fault.
  #check(before, l) {
    if (!before) {
      if (l.number === l.line || this.state.unbroken === false) return;
      this.fault = l;
      return;
    }
    const missing = l.line - before.line - 1;
    if (missing === 0 && l.number === before.number + 1) return;
    if (missing === 0 && !this.state.unbroken && !before.timed) {
      this.oldFrom = l.number ?? 0;
      return;
    }
    this.fault = l;
    this.lost += Math.max(missing, (l.number ?? 0) - (before.number ?? 0) - 1, 0);
  }

  takeActivity(a) {
    const known = this.activities.findIndex((b) => b.id === a.id && b.at === a.at);
    if (known >= 0) this.activities[known] = a;
    else this.activities.push(a);
    if (this.activities.length > activities) this.activities.shift();
  }

  takeInterruption(i) {
    if (!i.line) {
      this.state.interruption = i;
      return;
    }
    if (this.state.interruption?.id === i.id) {
      this.state.interruption = undefined;
      const { tally } = this.state; // until the server sends its own
      tally.interruptions++;
      tally.longest = Math.max(tally.longest, i.seconds);
    }
    this.interruptions.set(i.line, i);
    if (this.interruptions.size > activities) this.interruptions.delete(this.interruptions.keys().next().value);
  }

  last() { return this.lines.at(-1); }

  // fast tells whether more than ten lines have come in the last second.
  fast() {
    const at = this.lines.at(-10)?.at;
    return Boolean(at) && this.now() - at < 1_000;
  }

  // next says which number is due, and whose it is.
  next() {
    const number = this.state.count + 1;
    return { number, seat: number % 2 ? 'client1' : 'client2' };
  }

  // lastAt is when the last line was written, or null.
  lastAt() {
    const at = this.last()?.at;
    if (at) return at;
    return this.state.last?.at ? Date.parse(this.state.last.at) : null;
  }

  done() { return this.state.goal > 0 && this.state.count >= this.state.goal; }

  // recovery is the last interruption, if it was over just now.
  recovery() {
    const i = [...this.interruptions.values()].at(-1);
    if (!i) return null;
    const over = Date.parse(i.after) + i.seconds * 1000;
    return this.now() - over < recent ? i : null;
  }
}

// presence keeps the spans of a lane up to date.
function presence(spans, there, since) {
  const last = spans.at(-1);
  if (there && (!last || last.until)) spans.push({ from: since });
  else if (there && last.from < since && Date.parse(since) - Date.parse(last.from) > 1) {
    last.until = since;
    spans.push({ from: since });
  } else if (!there && last && !last.until) last.until = since;
}

// reload gets the files of a new version of the server, once for each version.
function reload(assets) {
  if (sessionStorage.getItem('reloaded') === assets) return;
  sessionStorage.setItem('reloaded', assets);
  location.reload();
}
