// Numbers, durations and times as people read them.

const whole = new Intl.NumberFormat('en-US');
const minutes = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const days = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

export const count = (n) => whole.format(n);
export const clock = (ms) => minutes.format(ms);

// moment is a time, with its date unless that is today's.
export function moment(ms, now) {
  return days.format(ms) === days.format(now) ? seconds.format(ms) : `${days.format(ms)}, ${seconds.format(ms)}`;
}

// ordinal is "1st", "2nd" and so on.
export function ordinal(n) {
  const teens = n % 100 > 10 && n % 100 < 14;
  return `${whole.format(n)}${(!teens && ['th', 'st', 'nd', 'rd'][n % 10]) || 'th'}`;
}

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
