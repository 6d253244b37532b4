/** Router Advertisements as a guest reads them, by code that shares nothing with the one that writes them. */
import assert from 'node:assert/strict';

export interface ReadAdvertisement {
  hopLimit: number;
  /** M, O, and the router's preference. */
  flags: string;
  routerLifetimeS: number;
  source?: string;
  mtu?: number;
  /** `ADDRESS/BITS FLAGS VALID PREFERRED`. */
  prefixes: string[];
  /** `ADDRESS.. LIFETIME`. */
  dns: string[];
  /** `DOMAIN.. LIFETIME`. */
  search: string[];
  /** `PREFIX LIFETIME`. */
  nat64: string[];
}

/** @param message from the ICMPv6 header to its end */
export function readAdvertisement(message: Uint8Array): ReadAdvertisement {
  const bytes = Buffer.from(message);
  assert.equal(bytes[0], 134);
  assert.equal(bytes[1], 0);
  const flags = bytes[5] ?? 0;
  const read: ReadAdvertisement = {
    hopLimit: bytes[4] ?? 0,
    flags: `${(flags & 0x80) === 0 ? '' : 'M'}${(flags & 0x40) === 0 ? '' : 'O'}`,
    routerLifetimeS: bytes.readUInt16BE(6),
    prefixes: [],
    dns: [],
    search: [],
    nat64: [],
  };
  assert.equal(flags & 0x3f, 0, 'preference: medium');
  assert.equal(bytes.readUInt32BE(8), 0, 'reachable time: unspecified');
  assert.equal(bytes.readUInt32BE(12), 0, 'retransmission timer: unspecified');
  let at = 16;
  while (at < bytes.length) {
    const len = (bytes[at + 1] ?? 0) * 8;
    assert.ok(len > 0 && at + len <= bytes.length, 'a whole option');
    readOption(read, bytes.subarray(at, at + len));
    at += len;
  }
  return read;
}

function readOption(read: ReadAdvertisement, option: Buffer): void {
  switch (option[0]) {
    case 1:
      read.source = option
        .subarray(2)
        .toString('hex')
        .replace(/..(?!$)/g, '$&:');
      break;
    case 3: {
      const flags = `${((option[3] ?? 0) & 0x80) === 0 ? '' : 'L'}${((option[3] ?? 0) & 0x40) === 0 ? '' : 'A'}`;
      const lifetimes = `${option.readUInt32BE(4)} ${option.readUInt32BE(8)}`;
      read.prefixes.push(`${addressAt(option, 16)}/${option[2]} ${flags} ${lifetimes}`);
      break;
    }
    case 5:
      read.mtu = option.readUInt32BE(4);
      break;
    case 25: {
      const servers: string[] = [];
      for (let at = 8; at < option.length; at += 16) servers.push(addressAt(option, at));
      read.dns.push(`${servers.join(' ')} ${option.readUInt32BE(4)}`);
      break;
    }
    case 31:
      read.search.push(`${domains(option.subarray(8)).join(' ')} ${option.readUInt32BE(4)}`);
      break;
    case 38: {
      const scaled = option.readUInt16BE(2);
      assert.equal(scaled & 7, 0, 'a prefix of 96 bits');
      const prefix = Buffer.concat([option.subarray(4), Buffer.alloc(4)]);
      read.nat64.push(`${addressAt(prefix, 0)} ${(scaled >> 3) * 8}`);
      break;
    }
    default:
      assert.fail(`option ${option[0]}`);
  }
}

/** All eight groups, without leading zeros: `URL` shortens them. */
function addressAt(bytes: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(at + 2 * i).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function domains(bytes: Buffer): string[] {
  const names: string[] = [];
  let labels: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const len = bytes[at] ?? 0;
    if (len > 0) labels.push(bytes.toString('latin1', at + 1, at + 1 + len));
    else if (labels.length > 0) {
      names.push(labels.join('.'));
      labels = [];
    } else break; // padding
    at += 1 + len;
  }
  assert.deepEqual(labels, [], 'a name that ends');
  assert.ok(
    bytes.subarray(at).every((byte) => byte === 0),
    'padding of zeros',
  );
  return names;
}
