import { IFNAMSIZ } from './constants.ts';

/** Whether Linux accepts `name` for an interface (dev_valid_name): 1 to 15 bytes, no `/` or blanks. */
export const isIfName = (name: string): boolean =>
  /^[^/:\s\0]+$/.test(name) &&
  name !== '.' &&
  name !== '..' &&
  new TextEncoder().encode(name).length < IFNAMSIZ;
