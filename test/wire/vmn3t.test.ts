import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatMac } from '../../src/wire/mac.ts';
import {
  emitVmn3tDisconnect,
  emitVmn3tInit,
  emitVmn3tVif,
  isVmn3t,
  isVmn3tCommand,
  readVmn3tCommand,
  VMN3T_COMMAND_LEN,
  VMN3T_INIT_LEN,
  VMN3T_RESPONSE_LEN,
  vmn3tVersion,
} from '../../src/wire/vmn3t.ts';

const bytesOf = (hex: string): DataView =>
  new DataView(Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')).buffer);
const UUID = '0123ABCD-0000-4000-8000-00000000000f';
const hexOf = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

/** As the reference's clients send it. */
const GO_INIT = `56 4d 4e 33 54 16 00 00 00 ${'30313233343536373839'.repeat(4)}`;
const C_INIT = `56 4d 4e 33 54 16 00 00 00 ${'00'.repeat(40)}`;

describe('wire/vmn3t', () => {
  for (const [who, hex] of [
    ['Go', GO_INIT],
    ['C', C_INIT],
  ] as const) {
    it(`knows the INIT of the ${who} client`, () => {
      const view = bytesOf(hex);
      assert.equal(view.byteLength, VMN3T_INIT_LEN);
      assert.ok(isVmn3t(view));
      assert.equal(vmn3tVersion(view), 22);
    });
  }

  it('tells what is not VMN3T by five bytes', () => {
    for (const text of ['VMNET', 'GET /', 'VMN3S']) assert.ok(!isVmn3t(bytesOf(hexOf(text))), text);
  });

  it('writes an INIT with 40 digits in place of a commit', () => {
    const bytes = new Uint8Array(VMN3T_INIT_LEN);
    emitVmn3tInit(bytes);
    assert.equal(Buffer.from(bytes).toString('latin1'), `VMN3T\x16\0\0\0${'0'.repeat(40)}`);
  });

  it('a UUID is compared in lower case, and 36 NULs are none', () => {
    assert.deepEqual(readVmn3tCommand(bytesOf(`01 ${hexOf(UUID)} 00000000`)), {
      uuid: UUID.toLowerCase(),
      preferred: undefined,
    });
    assert.deepEqual(readVmn3tCommand(bytesOf(`01 ${'00'.repeat(40)}`)), {
      uuid: undefined,
      preferred: undefined,
    });
  });

  it('a preferred address is the host-order word, little-endian', () => {
    const command = readVmn3tCommand(bytesOf(`08 ${hexOf(UUID)} 4d 41 a8 c0`));
    assert.ok(typeof command !== 'string');
    assert.equal(command.preferred, 0xc0a8_414d | 0); // 192.168.65.77
  });

  for (const uuid of ['x'.repeat(36), UUID.replaceAll('-', '0'), `${UUID.slice(0, -1)}\0`]) {
    it(`refuses the UUID ${JSON.stringify(uuid)}`, () => {
      assert.equal(readVmn3tCommand(bytesOf(`01 ${hexOf(uuid)} 00000000`)), 'invalid UUID');
    });
  }

  it('refuses commands of other lengths, such as Bind_ipv4', () => {
    assert.ok(!isVmn3tCommand(6));
    assert.equal(readVmn3tCommand(bytesOf(`06 ${'00'.repeat(40)}`)), 'unsupported command');
  });

  it('never throws on hostile bytes', () => {
    const command = fc.uint8Array({ minLength: VMN3T_COMMAND_LEN, maxLength: VMN3T_COMMAND_LEN });
    fc.assert(
      fc.property(command, (bytes) => {
        readVmn3tCommand(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
      }),
    );
  });

  it('writes a Vif: MTU, longest frame, Ethernet address', () => {
    const bytes = new Uint8Array(VMN3T_RESPONSE_LEN);
    emitVmn3tVif(bytes, 1500, 1550, 0x0250_0000_0001);
    const start = Buffer.from(bytes.subarray(0, 12)).toString('hex');
    assert.equal(start, '01dc050e06025000000001' + '00');
    assert.equal(formatMac(0x0250_0000_0001), '02:50:00:00:00:01');
    emitVmn3tVif(bytes, 65_520, 65_570, 1);
    assert.equal(Buffer.from(bytes.subarray(1, 5)).toString('hex'), 'f0ffffff');
  });

  it('writes a Disconnect: length, text, padding', () => {
    const bytes = new Uint8Array(VMN3T_RESPONSE_LEN);
    emitVmn3tDisconnect(bytes, 'no');
    assert.equal(Buffer.from(bytes.subarray(0, 5)).toString('hex'), '02026e6f00');
    const long = new Uint8Array(VMN3T_RESPONSE_LEN);
    emitVmn3tDisconnect(long, 'ä'.repeat(300));
    assert.equal(long[1], 254);
    assert.equal(long[256], 0);
  });
});
