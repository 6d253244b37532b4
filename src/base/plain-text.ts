/**
 * Texts of guests in events and records, which terminals, web pages and programs of others show: names, paths and
 * reasons. What controls a terminal, reorders text or is markup is written as `\u{1b}`, and a long text is cut. Done to
 * every text of an event, so that no field is forgotten.
 */
import { cutText, TEXT_MAX } from './cut-text.ts';

/** Controls (C0, DEL, C1), marks that reorder or join text, line separators, halves of surrogate pairs, markup. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029<>&"'`]/gu;
const DEPTH_MAX = 6;

const escaped = (char: string): string => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;

/** @returns `text` itself where nothing is wrong with it */
export function plainText(text: string): string {
  const short = text.length <= TEXT_MAX ? text : cutText(text);
  return short.search(UNSAFE) < 0 ? short : short.replace(UNSAFE, escaped);
}

/** @returns `value` itself where every text of it is plain, else a copy. Of plain data: objects, lists, texts, numbers */
export function plainValue<T>(value: T, depth?: number): T;
export function plainValue(value: unknown, depth = DEPTH_MAX): unknown {
  if (typeof value === 'string') return plainText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return null;
  if (Array.isArray(value)) return plainItems(value, depth);
  let copy: Record<string, unknown> | undefined;
  for (const [key, item] of Object.entries(value)) {
    const plain = plainValue(item, depth - 1);
    const plainKey = plainText(key);
    if (plain === item && plainKey === key) continue;
    copy ??= { ...value };
    if (plainKey !== key) delete copy[key];
    copy[plainKey] = plain;
  }
  return copy ?? value;
}

function plainItems(items: readonly unknown[], depth: number): readonly unknown[] {
  const plain = items.map((item) => plainValue(item, depth - 1));
  return plain.every((item, i) => item === items[i]) ? items : plain;
}
