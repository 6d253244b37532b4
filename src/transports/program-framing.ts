/** A framing that the embedding program brings: what it says of a length is checked, and what it throws ends its link. */
import type { Log } from '../base/log.ts';
import { type Framing, MAX_FRAME_LEN, MAX_FRAMING_HEADER_LEN, STREAM_FRAMINGS } from './framing.ts';

/** @returns why it is no framing */
export function framingProblem(framing: unknown): string | undefined {
  if (typeof framing !== 'object' || framing === null) {
    const names = Object.keys(STREAM_FRAMINGS).join(', ');
    const got = typeof framing === 'string' ? JSON.stringify(framing) : String(framing);
    return `its framing must be ${names} or an object with readLength and writeLength, got ${got}`;
  }
  const headerLen: unknown = Reflect.get(framing, 'headerLen');
  const isLength = Number.isInteger(headerLen) && Number(headerLen) >= 1;
  if (!isLength || Number(headerLen) > MAX_FRAMING_HEADER_LEN) {
    return `headerLen of its framing must be an integer from 1 to ${MAX_FRAMING_HEADER_LEN}, got ${String(headerLen)}`;
  }
  const missing = ['readLength', 'writeLength'].find(
    (name) => typeof Reflect.get(framing, name) !== 'function',
  );
  return missing === undefined ? undefined : `${missing} of its framing must be a function`;
}

/** @param link for the log */
export function checkedFraming(framing: Framing, link: string, log: Log): Framing {
  const { headerLen, longestFrame } = framing;
  return {
    headerLen,
    ...(longestFrame === undefined ? {} : { longestFrame }),
    readLength(view, off) {
      try {
        const len = framing.readLength(view, off);
        return Number.isInteger(len) && len <= MAX_FRAME_LEN ? len : -1;
      } catch (error) {
        log.error({ link, err: error }, 'guest link failed');
        return -1;
      }
    },
    writeLength: (view, off, len) => framing.writeLength(view, off, len),
  };
}
