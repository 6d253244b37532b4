/**
 * Writes a message out of the records of another: some left out, some replaced. Names move, so that compression
 * pointers (RFC 1035 §4.1.4) are resolved and written anew: a whole name that was written before is a pointer to it.
 * Data of types that may hold compressed names (RFC 3597 §4) is known here, all other data is copied.
 */
import {
  DNS_HEADER_LEN,
  type RecordAt,
  type Section,
  setU16,
  setU32,
  skipName,
  TYPE_CNAME,
  TYPE_DNAME,
  TYPE_MX,
  TYPE_NS,
  TYPE_PTR,
  TYPE_SOA,
  TYPE_SRV,
  u32,
} from './message.ts';
import { expandName } from './wire-name.ts';

const MAX_MESSAGE_LEN = 65_535;
/** The last that a pointer can lead to. */
const MAX_TARGET = 0x3fff;

/** How many bytes of the data are before its names, and how many names there are; what follows is copied. */
interface NamesInData {
  readonly before: number;
  readonly count: number;
}

const NAMES_IN_DATA: Readonly<Record<number, NamesInData>> = {
  [TYPE_NS]: { before: 0, count: 1 },
  [TYPE_CNAME]: { before: 0, count: 1 },
  [TYPE_SOA]: { before: 0, count: 2 },
  [TYPE_PTR]: { before: 0, count: 1 },
  [TYPE_MX]: { before: 2, count: 1 },
  [TYPE_SRV]: { before: 6, count: 1 },
  [TYPE_DNAME]: { before: 0, count: 1 },
};

export interface NewRecord {
  /** Uncompressed. */
  readonly owner: Uint8Array;
  readonly type: number;
  readonly klass: number;
  readonly ttlS: number;
  /** Without compressed names. */
  readonly data: Uint8Array;
}

export class MessageWriter {
  private bytes = new Uint8Array(1024);
  private len = 0;
  private readonly counts = { answer: 0, authority: 0, additional: 0 };
  /** Where each name has been written. */
  private readonly offsets = new Map<string, number>();
  private failed = false;

  /**
   * @param header of the message: the first 12 bytes of these; counts are written by {@link finish}
   * @param question the one that the message repeats
   */
  constructor(header: Uint8Array, question: Uint8Array) {
    this.write(header.subarray(0, DNS_HEADER_LEN));
    const name = expandName(question, 0);
    if (name !== undefined) this.offsets.set(keyOf(name), DNS_HEADER_LEN);
    this.write(question);
  }

  /** @param source the message that the record is in */
  copy(source: Uint8Array, record: RecordAt): void {
    const { section, off, type, klass, ttlOff, dataOff, end } = record;
    this.record(section, expandName(source, off), type, klass, u32(source, ttlOff), () => {
      const names = NAMES_IN_DATA[type];
      if (names === undefined) this.write(source.subarray(dataOff, end));
      else this.copyData(source, names, dataOff, end);
    });
  }

  add(section: Section, { owner, type, klass, ttlS, data }: NewRecord): void {
    this.record(section, owner, type, klass, ttlS, () => this.write(data));
  }

  /** @param flags of the header @returns undefined when it was too long, or a record that was copied is malformed */
  finish(flags: number): Uint8Array | undefined {
    if (this.failed) return undefined;
    const message = this.bytes.slice(0, this.len);
    setU16(message, 2, flags);
    setU16(message, 4, 1);
    setU16(message, 6, this.counts.answer);
    setU16(message, 8, this.counts.authority);
    setU16(message, 10, this.counts.additional);
    return message;
  }

  private record(
    section: Section,
    owner: Uint8Array | undefined,
    type: number,
    klass: number,
    ttlS: number,
    writeData: () => void,
  ): void {
    this.name(owner);
    const fixed = new Uint8Array(10);
    setU16(fixed, 0, type);
    setU16(fixed, 2, klass);
    setU32(fixed, 4, ttlS);
    this.write(fixed);
    const dataOff = this.len;
    writeData();
    if (!this.failed) setU16(this.bytes, dataOff - 2, this.len - dataOff);
    this.counts[section]++;
  }

  private copyData(source: Uint8Array, names: NamesInData, dataOff: number, end: number): void {
    let at = dataOff + names.before;
    this.write(source.subarray(dataOff, Math.min(at, end)));
    for (let i = 0; i < names.count; i++) {
      const name = at < end ? expandName(source, at) : undefined;
      if (name === undefined) {
        this.failed = true;
        return;
      }
      this.write(name);
      at = skipName(source, at);
    }
    if (at > end) this.failed = true;
    else this.write(source.subarray(at, end));
  }

  private name(name: Uint8Array | undefined): void {
    if (name === undefined) {
      this.failed = true;
      return;
    }
    if (name.length === 1) {
      this.write(name); // the root's: shorter than a pointer
      return;
    }
    const key = keyOf(name);
    const known = this.offsets.get(key);
    if (known !== undefined) {
      this.write(Uint8Array.of(0xc0 | (known >> 8), known & 0xff));
      return;
    }
    if (this.len <= MAX_TARGET) this.offsets.set(key, this.len);
    this.write(name);
  }

  private write(bytes: Uint8Array): void {
    const end = this.len + bytes.length;
    if (this.failed || end > MAX_MESSAGE_LEN) {
      this.failed = true;
      return;
    }
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.bytes.length * 2));
      grown.set(this.bytes.subarray(0, this.len));
      this.bytes = grown;
    }
    this.bytes.set(bytes, this.len);
    this.len = end;
  }
}

const keyOf = (name: Uint8Array): string => String.fromCharCode(...name);
