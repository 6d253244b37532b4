/** `[::]:80`, `[::]:80 only`, `0.0.0.0:53 udp`. */
import assert from 'node:assert/strict';
import type { BoundSocket } from '../../../../src/native/posix.ts';
import { parseAddress } from '../../../../src/services/address-text.ts';

let inodes = 1;

export function socket(text: string, inode: number = inodes++): BoundSocket {
  const [, host = '', port, , more = ''] = /^(.+):(\d+)( (\w+))?$/.exec(text) ?? [];
  const address = parseAddress(host.replace(/^\[|\]$/g, ''));
  assert.ok(address !== undefined, text);
  const protocol = more === 'udp' ? 'udp' : 'tcp';
  return { protocol, address, port: Number(port), v6Only: more === 'only', inode };
}
