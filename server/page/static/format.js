// Numbers, durations and times as people read them.

const whole = new Intl.NumberFormat('en-US');
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const count = (n) => whole.format(n);
export const time = (ms) => clock.format(ms);

// duration says how long something lasted: "8 ms", "0.6 s", "12 s", "3 min 4 s".
export function duration(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 0.095) return `${Math.round(1000 * s)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  return coarse(ms);
}

// coarse is duration in whole seconds, for what goes on while one looks.
export function coarse(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return pair(s, 60, 'min', 1, 's');
  if (s < 86400) return pair(s, 3600, 'h', 60, 'min');
  return pair(s, 86400, 'd', 3600, 'h');
}

function pair(s, big, bigName, small, smallName) {
  const rest = Math.floor((s % big) / small);
  return `${Math.floor(s / big)} ${bigName}${rest ? ` ${rest} ${smallName}` : ''}`;
}

// rate says how many a second.
export const rate = (n) => (n < 9.95 ? n.toFixed(1) : whole.format(Math.round(n)));
