import assert from 'node:assert/strict';
import type { QueuedError } from '../../../src/native/posix.ts';
import { networkErrorOf, sendError } from '../../../src/proxy/udp/host-errors.ts';

const MEANING: readonly (readonly [QueuedError['origin'], number, number, string | undefined])[] = [
  ['icmp', 3, 0, 'net-unreachable'],
  ['icmp', 3, 1, 'host-unreachable'],
  ['icmp', 3, 2, 'host-unreachable'],
  ['icmp', 3, 3, 'port-unreachable'],
  ['icmp', 3, 4, undefined],
  ['icmp', 3, 13, 'prohibited'],
  ['icmp', 11, 0, 'ttl-exceeded'],
  ['icmp', 11, 1, undefined],
  ['icmp', 12, 0, undefined],
  ['icmp6', 1, 0, 'net-unreachable'],
  ['icmp6', 1, 1, 'prohibited'],
  ['icmp6', 1, 3, 'host-unreachable'],
  ['icmp6', 1, 4, 'port-unreachable'],
  ['icmp6', 2, 0, undefined],
  ['icmp6', 3, 0, 'ttl-exceeded'],
  ['local', 0, 0, undefined],
  ['other', 3, 3, undefined],
];

describe('proxy/udp/host-errors', () => {
  for (const [origin, icmpType, icmpCode, expected] of MEANING) {
    it(`${origin} ${icmpType}/${icmpCode} is ${expected ?? 'not passed on'}`, () => {
      const error: QueuedError = {
        code: 'EHOSTUNREACH',
        origin,
        icmpType,
        icmpCode,
        info: 0,
        offender: undefined,
        destination: undefined,
        destinationPort: 0,
        payload: new Uint8Array(0),
      };
      assert.equal(networkErrorOf(error), expected);
    });
  }

  it('reports failed sends to guests by ICMP errors', () => {
    assert.equal(sendError('ENETUNREACH', '192.0.2.1'), 'net-unreachable');
    assert.equal(sendError('EADDRNOTAVAIL', '2001:db8::1'), 'net-unreachable');
    assert.equal(sendError('EADDRNOTAVAIL', '::1'), 'port-unreachable');
    assert.equal(sendError('EHOSTUNREACH', '192.0.2.1'), 'host-unreachable');
    assert.equal(sendError('EPERM', '192.0.2.1'), 'prohibited');
    assert.equal(sendError('EACCES', '192.0.2.1'), 'prohibited');
    assert.equal(sendError('ENOBUFS', '192.0.2.1'), undefined);
    assert.equal(sendError('EMSGSIZE', '192.0.2.1'), undefined);
  });
});
