/** A framing that the embedding program brings: what it says of a length is checked, and what it throws ends its link. */
import type { Log } from '../base/log.ts';
import { type Framing, MAX_FRAME_LEN, MAX_FRAMING_HEADER_LEN, STREAM_FRAMINGS } from './framing.ts';

/** A frame is no shorter than its Ethernet header. */
const SHORTEST = 14;

/**
 * @param link for the log
 * @returns why it is no framing, where it is none; its lengths are read once
 */
export function programFraming(framing: unknown, link: string, log: Log): Framing | string {
  if (typeof framing !== 'object' || framing === null) {
    const names = Object.keys(STREAM_FRAMINGS).join(', ');
    const got = typeof framing === 'string' ? JSON.stringify(framing) : String(framing);
    return `its framing must be ${names} or an object with readLength and writeLength, got ${got}`;
  }
  let name = 'headerLen';
  try {
    const headerLen: unknown = Reflect.get(framing, name);
    if (!isFrom(1, headerLen) || headerLen > MAX_FRAMING_HEADER_LEN) {
      const got = shown(headerLen);
      return `headerLen of its framing must be an integer from 1 to ${MAX_FRAMING_HEADER_LEN}, got ${got}`;
    }
    name = 'longestFrame';
    const longest: unknown = Reflect.get(framing, name) ?? MAX_FRAME_LEN;
    if (!isFrom(SHORTEST, longest)) {
      return `longestFrame of its framing must be an integer of at least ${SHORTEST}, got ${shown(longest)}`;
    }
    name = 'readLength';
    const read: unknown = Reflect.get(framing, name);
    if (!isFunction(read)) return `${name} of its framing must be a function`;
    name = 'writeLength';
    const write: unknown = Reflect.get(framing, name);
    if (!isFunction(write)) return `${name} of its framing must be a function`;
    const longestFrame = Math.min(longest, MAX_FRAME_LEN);
    return new ProgramFraming(framing, { headerLen, longestFrame, read, write }, link, log);
  } catch (error) {
    return `${name} of its framing cannot be read: ${error instanceof Error ? error.message : shown(error)}`;
  }
}

type Call = (...args: readonly unknown[]) => unknown;

interface Members {
  readonly headerLen: number;
  readonly longestFrame: number;
  readonly read: Call;
  readonly write: Call;
}

class ProgramFraming implements Framing {
  readonly headerLen: number;
  readonly longestFrame: number;
  private readonly framing: object;
  private readonly read: Call;
  private readonly write: Call;
  private readonly link: string;
  private readonly log: Log;
  private isFailed = false;

  constructor(
    framing: object,
    { headerLen, longestFrame, read, write }: Members,
    link: string,
    log: Log,
  ) {
    this.headerLen = headerLen;
    this.longestFrame = longestFrame;
    this.framing = framing;
    this.read = read;
    this.write = write;
    this.link = link;
    this.log = log;
  }

  readLength(view: DataView, off: number): number {
    try {
      const len = this.read.call(this.framing, view, off);
      return isFrom(0, len) && len <= MAX_FRAME_LEN ? len : -1;
    } catch (error) {
      this.fail(error);
      return -1;
    }
  }

  writeLength(view: DataView, off: number, len: number): unknown {
    try {
      this.write.call(this.framing, view, off, len);
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  private fail(error: unknown): void {
    if (!this.isFailed) this.log.error({ link: this.link, err: error }, 'guest link failed');
    this.isFailed = true;
  }
}

const isFunction = (value: unknown): value is Call => typeof value === 'function';
const isFrom = (least: number, value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= least;

/** Objects may have a `toString` of the program. */
const shown = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
};
