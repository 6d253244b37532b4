/**
 * Decodes the header blocks of HTTP/2 (RFC 7541), in the order in which they are sent: each may change the table that the
 * next refers to. Bounded: the table by the largest size that is accepted, a block by what it decodes to.
 */
import type { ByteCursor } from './byte-cursor.ts';
import { decodeHuffman } from './huffman.ts';

export type OnField = (name: string, value: string) => void;

type Field = readonly [name: string, value: string];

/** RFC 7541 §4.1. */
const ENTRY_OVERHEAD = 32;
/** Of RFC 9113 §6.5.2. A client that a server has offered more, which is not seen here, seldom takes it. */
const MAX_TABLE = 4096;
const MAX_BLOCK = 64 * 1024;

const sizeOf = ([name, value]: Field): number => name.length + value.length + ENTRY_OVERHEAD;

export class HpackDecoder {
  /** The newest last. */
  private readonly entries: Field[] = [];
  private size = 0;
  private limit = MAX_TABLE;

  /** @returns false when the block is malformed, or beyond the limits: none can be decoded after it */
  decode(block: ByteCursor, onField: OnField): boolean {
    let decoded = 0;
    while (block.left > 0) {
      const field = this.next(block);
      if (field === undefined || !block.isSound) return false;
      if (field === 'resized') {
        if (decoded > 0) return false; // §4.2: only at the beginning of a block
        continue;
      }
      decoded += sizeOf(field);
      if (decoded > MAX_BLOCK) return false;
      onField(field[0], field[1]);
    }
    return block.isSound;
  }

  private next(block: ByteCursor): Field | 'resized' | undefined {
    const first = block.u8();
    if ((first & 0x80) !== 0) return this.at(integer(block, first, 7)); // §6.1
    if ((first & 0xe0) === 0x20) return this.resize(integer(block, first, 5)); // §6.3
    const isAdded = (first & 0x40) !== 0; // §6.2.1; without indexing, or never: §6.2.2, §6.2.3
    const index = integer(block, first, isAdded ? 6 : 4);
    const name = index === 0 ? string(block) : this.at(index)?.[0];
    const value = string(block);
    if (name === undefined || value === undefined) return undefined;
    const field = [name, value] as const;
    if (isAdded) this.add(field);
    return field;
  }

  private at(index: number): Field | undefined {
    if (index <= STATIC.length) return STATIC[index - 1];
    return this.entries[this.entries.length - (index - STATIC.length)];
  }

  private resize(limit: number): 'resized' | undefined {
    if (limit > MAX_TABLE) return undefined;
    this.limit = limit;
    this.evict(0);
    return 'resized';
  }

  private add(field: Field): void {
    const size = sizeOf(field);
    this.evict(size);
    if (size > this.limit) return; // §4.4: the table is empty then
    this.entries.push(field);
    this.size += size;
  }

  /** Make room for an entry. */
  private evict(size: number): void {
    while (this.size + size > this.limit) {
      const oldest = this.entries.shift();
      if (oldest === undefined) return;
      this.size -= sizeOf(oldest);
    }
  }
}

/** §5.1. One beyond 2^28 is not sound. */
function integer(block: ByteCursor, first: number, bits: number): number {
  const mask = (1 << bits) - 1;
  let value = first & mask;
  if (value < mask) return value;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = block.u8();
    value += (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return value;
  }
  block.isSound = false;
  return 0;
}

/** §5.2. */
function string(block: ByteCursor): string | undefined {
  const first = block.u8();
  const bytes = block.take(integer(block, first, 7));
  if (!bytes.isSound) return undefined;
  return (first & 0x80) === 0 ? bytes.text() : decodeHuffman(bytes.rest());
}

/** Appendix A. */
const STATIC: readonly Field[] = (
  ':authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|' +
  ':status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|' +
  'accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|' +
  'content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|' +
  'cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|' +
  'last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|' +
  'server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate'
)
  .split('|')
  .map((entry) => {
    const [name = '', value = ''] = entry.split('=');
    return [name, value];
  });
