import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IpAddress } from '../../src/base/ip-address.ts';
import { makeSlab } from '../../src/base/slab.ts';
import {
  ADVERTISE,
  type AssociatedAddress,
  associationId,
  associationOption,
  CONFIRM,
  checkDhcpv6,
  DECLINE6,
  dhcpv6Option,
  dhcpv6Requests,
  dhcpv6Type,
  emitDhcpv6Reply,
  grantedAddress,
  INFORMATION_REQUEST,
  nextAddress,
  nextAssociation,
  REBIND,
  RECONFIGURE,
  RELAY_FORWARD,
  RELAY_REPLY,
  RELEASE6,
  RENEW,
  REPLY,
  REQUEST6,
  SOLICIT,
} from '../../src/wire/dhcpv6.ts';
import { readIpv6Address } from '../../src/wire/ipv6-address.ts';
import {
  DUID,
  dhcpv6Message,
  messageOf,
  option,
  readDhcpv6Reply,
} from '../support/dhcpv6-message.ts';

const SERVER = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const IA = [{ addresses: ['fd00::1:5'] }];

function reply(
  type: typeof ADVERTISE | typeof REPLY,
  addresses: readonly AssociatedAddress[],
  status?: number,
): DataView {
  const out = makeSlab(1300);
  const options = [associationOption({ id: 7, t1: 1, t2: 2, addresses, status })];
  const len = emitDhcpv6Reply(out, 5, messageOf(SOLICIT, []), { type, options, maxLen: 1232 });
  return new DataView(out.bytes.buffer, 5, len);
}

describe('wire/dhcpv6', () => {
  for (const [type, name] of [
    [SOLICIT, 'Solicit'],
    [CONFIRM, 'Confirm'],
    [REBIND, 'Rebind'],
  ] as const) {
    it(`${name} has a client identifier and no server's (RFC 9915 §16)`, () => {
      assert.equal(checkDhcpv6(dhcpv6Message({ type, associations: IA })), undefined);
      assert.equal(checkDhcpv6(dhcpv6Message({ type, clientId: null })), 'dhcpv6-no-client-id');
      assert.equal(checkDhcpv6(dhcpv6Message({ type, serverId: SERVER })), 'dhcpv6-foreign-option');
    });
  }

  for (const [type, name] of [
    [REQUEST6, 'Request'],
    [RENEW, 'Renew'],
    [RELEASE6, 'Release'],
    [DECLINE6, 'Decline'],
  ] as const) {
    it(`${name} has identifiers of a client and of a server (RFC 9915 §16)`, () => {
      const serverId = SERVER;
      assert.equal(checkDhcpv6(dhcpv6Message({ type, serverId, associations: IA })), undefined);
      assert.equal(
        checkDhcpv6(dhcpv6Message({ type, serverId, clientId: null })),
        'dhcpv6-no-client-id',
      );
      assert.equal(checkDhcpv6(dhcpv6Message({ type })), 'dhcpv6-no-server-id');
    });
  }

  it('an information request has no association, and may have identifiers (RFC 9915 §16.12)', () => {
    const type = INFORMATION_REQUEST;
    assert.equal(checkDhcpv6(dhcpv6Message({ type, clientId: null })), undefined);
    assert.equal(checkDhcpv6(dhcpv6Message({ type, serverId: SERVER })), undefined);
    for (const extra of [
      option(3, new Array(12).fill(0)),
      option(4, [1, 2, 3, 4]),
      option(25, []),
    ]) {
      assert.equal(checkDhcpv6(dhcpv6Message({ type, extra })), 'dhcpv6-foreign-option');
    }
  });

  it('messages of servers, of relays and of unknown types are refused', () => {
    for (const type of [0, ADVERTISE, REPLY, RECONFIGURE, 14, 255]) {
      assert.equal(checkDhcpv6(dhcpv6Message({ type })), 'dhcpv6-not-a-request');
    }
    for (const type of [RELAY_FORWARD, RELAY_REPLY]) {
      assert.equal(checkDhcpv6(dhcpv6Message({ type })), 'dhcpv6-relayed');
    }
  });

  it('a message cut anywhere but between options is refused', () => {
    const whole = dhcpv6Message({ type: SOLICIT, associations: IA });
    const ends = [4, 18, whole.byteLength];
    for (let len = 0; len < whole.byteLength; len++) {
      const cut = checkDhcpv6(new DataView(whole.buffer, 0, len));
      if (len < 4) assert.equal(cut, 'dhcpv6-truncated');
      else if (!ends.includes(len)) assert.equal(cut, 'dhcpv6-bad-options', `${len}`);
    }
  });

  for (const [what, extra] of [
    ['an association without its fixed part', option(3, new Array(11).fill(0))],
    [
      'an address without its lifetimes',
      option(3, [...new Array(12).fill(0), ...option(5, new Array(23).fill(0))]),
    ],
    [
      'an option that is longer than its association',
      option(3, [...new Array(12).fill(0), 0, 13, 0, 3, 0, 0]),
    ],
    ['a server identifier that is too short', option(2, [0, 3])],
    ['a server identifier that is too long', option(2, new Array(131).fill(0))],
  ] as const) {
    it(`${what} is refused`, () => {
      assert.equal(checkDhcpv6(dhcpv6Message({ type: RENEW, extra })), 'dhcpv6-bad-options');
    });
  }

  it('64 options in all are taken, nested ones included, and one more is refused', () => {
    const nested = (count: number): number[] =>
      option(3, [
        ...new Array(12).fill(0),
        ...Array.from({ length: count }, () => option(99, [])).flat(),
      ]);
    const ask = { type: SOLICIT, extra: nested(62) };
    assert.equal(checkDhcpv6(dhcpv6Message(ask)), undefined);
    assert.equal(
      checkDhcpv6(dhcpv6Message({ type: SOLICIT, extra: nested(63) })),
      'dhcpv6-too-many-options',
    );
    assert.equal(
      checkDhcpv6(dhcpv6Message({ type: SOLICIT, extra: [...nested(62), ...option(99, [])] })),
      'dhcpv6-too-many-options',
    );
  });

  it('associations in addresses in associations are refused before the call stack ends', () => {
    let inner: number[] = [];
    for (let depth = 0; depth < 400; depth++) {
      inner = option(3, [
        ...new Array(12).fill(0),
        ...option(5, [...new Array(24).fill(0), ...inner]),
      ]);
      if (inner.length > 65_000) break;
    }
    assert.equal(
      checkDhcpv6(dhcpv6Message({ type: SOLICIT, extra: inner })),
      'dhcpv6-too-many-options',
    );
  });

  it('reads what it is asked', () => {
    const associations = [
      { id: 7, addresses: ['fd00::1', 'fd00::2'] },
      { id: 0xffff_fffe, addresses: [] },
    ];
    const view = dhcpv6Message({
      type: SOLICIT,
      requests: [23, 24],
      associations,
      extra: option(99, []),
    });
    assert.equal(dhcpv6Type(view), SOLICIT);
    assert.deepEqual([...(dhcpv6Option(view, 1) ?? [])], DUID);
    assert.equal(dhcpv6Option(view, 2), undefined);
    assert.deepEqual(
      [23, 24, 25].map((code) => dhcpv6Requests(view, code)),
      [true, true, false],
    );
    const first = nextAssociation(view, 0);
    const second = nextAssociation(view, first);
    assert.deepEqual([associationId(view, first), associationId(view, second)], [7, 0xffff_fffe]);
    assert.equal(nextAssociation(view, second), -1);
    const one = nextAddress(view, first, 0);
    const two = nextAddress(view, first, one);
    assert.deepEqual(
      [one, two].map((at) => `${readIpv6Address(view, at)}`),
      ['fd00::1', 'fd00::2'],
    );
    assert.equal(nextAddress(view, first, two), -1);
    assert.equal(nextAddress(view, second, 0), -1);
  });

  it('half a code at the end of an option request is nothing', () => {
    const view = dhcpv6Message({ type: SOLICIT, extra: option(6, [0, 24, 0]) });
    assert.deepEqual(
      [24, 0].map((code) => dhcpv6Requests(view, code)),
      [true, false],
    );
    assert.equal(dhcpv6Requests(dhcpv6Message({ type: SOLICIT }), 24), false);
  });

  it('a reply has the transaction of its request', () => {
    const read = readDhcpv6Reply(reply(ADVERTISE, []));
    assert.deepEqual([read.type, read.xid], [ADVERTISE, 0xab_cdef]);
  });

  it('an address stands first in its association: BusyBox looks no further', () => {
    const address = new IpAddress(0xfd00_0000, 0, 0, 5);
    const read = reply(REPLY, [{ address, preferred: 30, valid: 40 }], 2);
    assert.equal(read.getUint16(4 + 4 + 12), 5);
    assert.deepEqual(readDhcpv6Reply(read).associations, [
      { id: 7, t1: 1, t2: 2, addresses: { 'fd00::5': 40 }, status: 2 },
    ]);
  });

  it('a reply gives the first address with a lifetime; an advertisement gives none', () => {
    const at = (d: number, valid: number): AssociatedAddress => ({
      ...{ address: new IpAddress(0xfd00_0000, 0, 0, d), preferred: valid, valid },
    });
    const given = reply(REPLY, [at(5, 40), at(6, 0)]);
    assert.equal(`${readIpv6Address(given, grantedAddress(given))}`, 'fd00::5');
    for (const none of [
      reply(ADVERTISE, [at(5, 40)]),
      reply(REPLY, []),
      reply(REPLY, [at(5, 0)]),
    ]) {
      assert.equal(grantedAddress(none), -1);
    }
  });

  it('leaves out what does not fit, or cuts it where it may, and says so', () => {
    const cut: number[][] = [];
    const out = makeSlab(100);
    const data = new Uint8Array(30).fill(7);
    const len = emitDhcpv6Reply(out, 0, messageOf(SOLICIT, []), {
      type: REPLY,
      options: [
        { code: 90, data: new Uint8Array(0) },
        { code: 24, data, cuts: [5, 10, 30] },
        { code: 91, data },
      ],
      maxLen: 4 + 4 + 4 + 12,
      onCut: (code, length) => cut.push([code, length]),
    });
    assert.equal(len, 4 + 4 + 4 + 10);
    assert.deepEqual(cut, [
      [24, 10],
      [91, 0],
    ]);
    assert.deepEqual(readDhcpv6Reply(new DataView(out.bytes.buffer, 0, len)).codes, [90, 24]);
    const silent = { type: REPLY, options: [{ code: 91, data }], maxLen: 10 } as const;
    assert.equal(emitDhcpv6Reply(out, 0, messageOf(SOLICIT, []), silent), 4);
  });

  it('never throws on hostile bytes: it names a reason, or all of it can be read', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 120 }),
      fc
        .array(fc.tuple(fc.constantFrom(1, 2, 3, 5, 6, 13, 39), fc.uint8Array({ maxLength: 40 })), {
          maxLength: 5,
        })
        .map((all) =>
          Uint8Array.from([1, 0, 0, 0, ...all.flatMap(([code, data]) => option(code, [...data]))]),
        ),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        const view = new DataView(Uint8Array.from(input).buffer);
        if (checkDhcpv6(view) !== undefined) return;
        dhcpv6Requests(view, 23);
        for (let ia = nextAssociation(view, 0); ia >= 0; ia = nextAssociation(view, ia)) {
          associationId(view, ia);
          for (let at = nextAddress(view, ia, 0); at >= 0; at = nextAddress(view, ia, at))
            readIpv6Address(view, at);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('reads what it wrote', () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const address = fc.record({
      address: fc.tuple(word, word, word, word).map((words) => new IpAddress(...words)),
      preferred: fc.nat(),
      valid: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    });
    fc.assert(
      fc.property(address, (given) => {
        const view = reply(REPLY, [given]);
        assert.ok(readIpv6Address(view, grantedAddress(view)).equals(given.address));
      }),
    );
  });
});
