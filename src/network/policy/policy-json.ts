/**
 * JSON in steps: an object, of whose members the long ones are arrays of small elements. The text is cut between elements,
 * without regard to what is in them, and each piece is parsed by itself; what is left is parsed as if the arrays were
 * short. So all errors of syntax are found, and an array that is too long before it is parsed.
 */
import { atOnce, type Steps } from '../../proxy/sliced-work.ts';

/** Of characters that are looked at, or parsed, in one step. */
const STEP = 2_048;
/** One element, or all that is not in an array. */
const PART_MAX = 64 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Of texts that are no JSON, or too large. */
export class JsonTextError extends Error {
  readonly code = 'ERR_HAWSER_JSON';
}

/**
 * @param maxElements of each array of the outermost object
 * @throws JsonTextError
 */
export function* parseJsonInSteps(text: string, maxElements: number): Steps<unknown> {
  const cutter = new Cutter(text, (elements) => {
    if (elements <= maxElements) return true;
    throw new JsonTextError(`a list must have at most ${maxElements} elements`);
  });
  yield* cutter.run();
  const value: unknown = parsed(cutter.rest());
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const whole: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    const place: unknown = Array.isArray(member) ? member[0] : undefined;
    const elements = typeof place === 'number' ? cutter.arrays[place] : undefined;
    Object.defineProperty(whole, key, {
      ...{ value: elements ?? member, enumerable: true, configurable: true, writable: true },
    });
  }
  return whole;
}

/** How many elements the longest array of the outermost object has, or more than `max`; of text that may be no JSON. */
export function longestArray(text: string, max: number): number {
  let longest = 0;
  const onCount = (elements: number): boolean => {
    longest = Math.max(longest, elements);
    return elements <= max;
  };
  atOnce(new Cutter(text, onCount, false).run());
  return longest;
}

class Cutter {
  /** Elements of those of the outermost object, in the order of the text. */
  readonly arrays: unknown[][] = [];
  private readonly text: string;
  private readonly goesOn: (elements: number) => boolean;
  private readonly isParsing: boolean;
  private readonly between: string[] = [];
  private at = 0;
  private depth = 0;
  /** Where what is not cut yet begins. */
  private from = 0;
  private elements = 0;
  private isInArray = false;

  /**
   * @param goesOn is asked at each element of an array
   * @param isParsing false: elements are counted alone
   */
  constructor(text: string, goesOn: (elements: number) => boolean, isParsing: boolean = true) {
    this.text = text;
    this.goesOn = goesOn;
    this.isParsing = isParsing;
  }

  /** What is outside of the arrays, each of which has its number in its place. */
  rest(): string {
    return [...this.between, this.text.slice(this.from)].join('');
  }

  *run(): Steps<void> {
    const { text } = this;
    let next = STEP;
    while (this.at < text.length) {
      this.look(text.charCodeAt(this.at));
      this.at++;
      if (this.at < next) continue;
      next = this.at + STEP;
      if (this.at - this.from > PART_MAX) this.refuseLength();
      yield;
    }
    if (text.length - this.from > PART_MAX) this.refuseLength();
  }

  private look(char: number): void {
    switch (char) {
      case QUOTE:
        this.at = this.endOfString(this.at + 1);
        return;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        this.depth++;
        if (char === OPEN_ARRAY && this.depth === 2) this.beginArray();
        return;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        if (this.depth === 2 && this.isInArray) this.endArray();
        this.depth--;
        return;
      case COMMA:
        if (this.depth === 2 && this.isInArray) this.onElement();
        return;
    }
  }

  /** @returns the place of the quote, or the last of the text */
  private endOfString(from: number): number {
    const { text } = this;
    for (let at = from; ; at++) {
      at = text.indexOf('"', at);
      if (at < 0) return text.length - 1;
      let slashes = 0;
      while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes++;
      if (slashes % 2 === 0) return at;
    }
  }

  private beginArray(): void {
    this.isInArray = true;
    this.elements = 0;
    this.between.push(this.text.slice(this.from, this.at + 1), String(this.arrays.length));
    this.arrays.push([]);
    this.from = this.at + 1;
  }

  private onElement(): void {
    this.elements++;
    if (!this.goesOn(this.elements + 1)) {
      this.at = this.text.length;
      return;
    }
    if (this.at - this.from < STEP) return;
    this.take();
    this.from = this.at + 1;
  }

  private endArray(): void {
    this.isInArray = false;
    const isEmpty = this.elements === 0 && this.text.slice(this.from, this.at).trim() === '';
    if (!isEmpty) this.take();
    this.from = this.at;
  }

  private take(): void {
    if (!this.isParsing) return;
    const piece = this.text.slice(this.from, this.at);
    if (piece.trim() === '') throw new JsonTextError('an element of a list is missing');
    const elements: unknown = parsed(`[${piece}]`);
    if (Array.isArray(elements)) this.arrays.at(-1)?.push(...elements);
  }

  private refuseLength(): void {
    if (!this.isParsing) return;
    throw new JsonTextError(
      `an element, or all that is in no list, is longer than ${PART_MAX} characters`,
    );
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new JsonTextError(why.replace(/ at position \d+.*$/, '')); // of the piece
  }
}
