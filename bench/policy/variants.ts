/** What may be asked or told about each flow of a network; the first is nothing. */
export const VARIANTS = [
  'none',
  'onFlow at once',
  'onFlow by a promise',
  'verdicts followed',
  'audit log',
  'audit log, required',
] as const;
export type Variant = (typeof VARIANTS)[number];
