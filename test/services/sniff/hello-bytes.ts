/** ClientHellos made byte by byte. */
export interface HelloShape {
  readonly name?: string;
  readonly alpn?: readonly string[];
  /** Other extensions, type and data, in front of those above. */
  readonly extensions?: readonly (readonly [number, Uint8Array])[];
}

export const ECH = 0xfe0d;
export const EARLY_DATA = 42;
/** RFC 8701. */
export const GREASE = 0x1a1a;
export const KEY_SHARE = 51;
/** Of X25519MLKEM768. */
export const ML_KEM_SHARE_LEN = 1216;

const u16 = (n: number): number[] => [n >>> 8, n & 0xff];
export const vector8 = (bytes: Iterable<number>): number[] => [[...bytes].length, ...bytes];
export const vector16 = (bytes: Iterable<number>): number[] => [
  ...u16([...bytes].length),
  ...bytes,
];
export const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

export const serverNameData = (name: string): Uint8Array =>
  Uint8Array.from(vector16([0, ...vector16(ascii(name))]));

/** The body of the message. */
export function helloBody(shape: HelloShape): Uint8Array {
  const extensions = [...(shape.extensions ?? [])];
  if (shape.name !== undefined) extensions.push([0, serverNameData(shape.name)]);
  if (shape.alpn !== undefined) {
    const list = shape.alpn.flatMap((name) => vector8(ascii(name)));
    extensions.push([16, Uint8Array.from(vector16(list))]);
  }
  const all = extensions.flatMap(([type, data]) => [...u16(type), ...vector16(data)]);
  const fixed = [3, 3, ...new Uint8Array(32).fill(7), ...vector8(new Uint8Array(32))];
  return Uint8Array.from([
    ...fixed,
    ...vector16([0x13, 1, 0x13, 2]),
    ...vector8([0]),
    ...vector16(all),
  ]);
}

/** The message with its header. */
export function helloMessage(shape: HelloShape): Uint8Array {
  const body = helloBody(shape);
  return Uint8Array.from([1, 0, ...u16(body.length), ...body]);
}

export const record = (type: number, payload: Uint8Array): Uint8Array =>
  Uint8Array.from([type, 3, 1, ...vector16(payload)]);

/** @param cut how many bytes of the message a record holds */
export function helloRecords(shape: HelloShape, cut = 16_384): Uint8Array {
  const message = helloMessage(shape);
  const records: number[] = [];
  for (let at = 0; at < message.length; at += cut) {
    records.push(...record(22, message.subarray(at, at + cut)));
  }
  return Uint8Array.from(records);
}
