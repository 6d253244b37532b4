/** Patterns of names in Go's syntax, in any case, which take time in proportion to a name's length: guests choose the names. */
import { RE2JS } from 're2js';
import type { NamePattern } from './zone-table.ts';

/** @throws Error in the words of Go's `regexp` package */
export function namePattern(text: string): NamePattern {
  RE2JS.compile(text); // its errors show the pattern as it is
  const compiled = RE2JS.compile(text, RE2JS.CASE_INSENSITIVE);
  return {
    text,
    steps: compiled.programSize(),
    matches: (name) => compiled.matcher(name).find(),
  };
}
