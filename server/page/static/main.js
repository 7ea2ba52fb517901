// The live page. It takes what the stream tells into the model, and shows the
// model at most once a frame.

import { follow } from './stream.js';
import { Model } from './model.js';
import { showCount } from './count.js';
import { showStatus } from './status.js';
import { showSeats } from './seats.js';
import { showBeads } from './beads.js';
import { showLines } from './lines.js';
import { showRate } from './rate.js';
import { showTimeline } from './timeline.js';

const model = new Model();
const views = [showStatus, showCount, showSeats, showBeads, showLines, showRate, showTimeline];
let due = false;

function show() {
  due = false;
  if (model.state === null) return;
  for (const view of views) view(model);
}

function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(show);
}

const then = (take) => (what) => { take(what); changed(); };

follow({
  state: then((s) => model.takeState(s)),
  line: then((l) => model.takeLine(l)),
  happening: then((h) => model.takeHappening(h)),
  away: then(() => model.takeAway()),
  position: () => model.position(),
});
setInterval(changed, 1_000); // clocks go on when nothing happens
