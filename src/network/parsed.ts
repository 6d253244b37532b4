/** The result of parsing a text: the value, or what is allowed instead ("must be …"). */
export type Parsed<T> = { readonly value: T } | { readonly problem: string };

export const ok = <T>(value: T): Parsed<T> => ({ value });
export const bad = (problem: string): { readonly problem: string } => ({ problem });

/** A decimal integer of `text` from `min` to `max`, or undefined. */
export function decimal(text: string, min: number, max: number): number | undefined {
  if (!/^\d{1,9}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}
