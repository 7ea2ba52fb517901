// What the page knows. It outlives the server: when that goes away, all of this
// stays as it is.

export const keep = 2_000; // lines, and a dot for each
const history = 200;
const usualGaps = 50; // the latest gaps tell what is usual

export class Model {
  state = null; // the last snapshot, kept up to date by what happens
  lines = []; // the latest, in order; at is in ms, or null if nobody knows
  start = 0; // how often lines began anew
  happenings = []; // oldest first
  awaySince = null; // ms, while the server is away
  #offset = 0; // of the server's clock from this one's
  #usual = 600;

  // now is the time on the server's clock.
  now() { return Date.now() + this.#offset; }

  takeState(s) {
    this.#offset = Date.parse(s.now) - Date.now();
    if (this.awaySince !== null) this.#back(Date.parse(s.started));
    const known = this.last()?.line ?? 0;
    if (known > s.lines || s.lines - known > keep) {
      this.lines = [];
      this.start++;
    }
    this.state = s;
    const last = this.last();
    if (last?.line === s.last?.line && last?.at === null && s.last.at) last.at = Date.parse(s.last.at);
    for (const h of s.happenings) this.#add(h);
  }

  // position is the line behind which the stream has to begin.
  position() {
    return this.last()?.line ?? Math.max(0, this.state.lines - keep);
  }

  takeLine(l) {
    if (l.line <= (this.last()?.line ?? 0)) return;
    const at = l.at ? Date.parse(l.at) : null;
    const before = this.last();
    const gap = at !== null && before?.at ? at - before.at : this.#gapAt(at);
    this.lines.push({ ...l, at, gap, long: gap !== null && gap > this.longGap() });
    if (this.lines.length > keep) this.lines.shift();
    this.#learn(gap);
    if (this.state) this.state.lines = Math.max(this.state.lines, l.line);
  }

  // gapAt is how long the count stood still until then, in the words of a server
  // whose forerunner wrote the line before; null if it says nothing.
  #gapAt(at) {
    const resumed = this.happenings.find((h) => h.what === 'count_resumed' && h.at === at);
    return resumed ? resumed.seconds * 1000 : null;
  }

  takeHappening(h) {
    this.#add(h);
    const seat = this.state.seats.find((s) => s.seat === h.seat);
    switch (h.what) {
      case 'seat_taken': case 'seat_left':
        seat.taken = h.what === 'seat_taken';
        seat.since = h.at;
        break;
      case 'game_started': case 'game_stopped':
        this.state.running = h.what === 'game_started';
        this.state.since = h.at;
        break;
      case 'storage_failing': case 'storage_restored':
        this.state.failing = h.what === 'storage_failing';
        break;
    }
  }

  takeAway() {
    if (this.awaySince !== null || this.state === null) return;
    this.awaySince = this.now();
    this.#note({ key: `away ${this.awaySince}`, what: 'server_away', at: this.awaySince });
  }

  // #back ends being away: when the new server started, or now if it is the
  // old one, which could not be reached.
  #back(started) {
    const away = this.happenings.findLast((h) => h.what === 'server_away');
    const until = started > this.awaySince ? started : this.now();
    away.seconds = (until - this.awaySince) / 1000;
    this.awaySince = null;
  }

  #add(h) {
    const key = `${this.state.started} ${h.id}`;
    if (this.happenings.some((known) => known.key === key)) return;
    this.#note({ ...h, key, at: Date.parse(h.at) });
  }

  #note(h) {
    this.happenings.push(h);
    this.happenings.sort((a, b) => a.at - b.at);
    if (this.happenings.length > history) this.happenings.shift();
  }

  last() { return this.lines.at(-1); }

  // newest is the last line, which at first is known from the snapshot alone.
  newest() { return this.last() ?? this.state.last; }

  // lastAt is when the last line came, or null.
  lastAt() {
    const at = this.last()?.at;
    if (at) return at;
    return this.state.last?.at ? Date.parse(this.state.last.at) : null;
  }

  // still is for how long nothing has come, if that is long.
  still() {
    const at = this.lastAt();
    const gap = at === null ? 0 : this.now() - at;
    return gap > this.longGap() ? gap : 0;
  }

  // longGap is what is much longer than usual between one line and the next.
  longGap() { return Math.max(1_500, 3 * this.#usual); }

  #learn(gap) {
    if (gap === null) return;
    this.#usual += (Math.min(gap, 4 * this.#usual) - this.#usual) / usualGaps;
  }

  done() {
    return this.state.goal > 0 && (this.newest()?.number ?? 0) >= this.state.goal;
  }
}
