/**
 * How VPNKit asks a server on a Unix socket for a connection (its `--forwards`): each side sends one message, a length of 16
 * bits, little-endian, and JSON; what follows the answer is the flow's own.
 */
import { Gathered } from '../sniff/gathered.ts';
import { type Handshake, type HandshakeStep, proxyFailure } from './handshake.ts';
import { type ProxyTarget, utf8 } from './proxy-server.ts';

const LENGTH = 2;
/** Answers are some tens of bytes. */
const MAX_ANSWER = 4 * 1024;

export class VpnkitTunnel implements Handshake {
  readonly hello: Uint8Array;
  private readonly answer = new Gathered(LENGTH + MAX_ANSWER);

  /** @param target by its address */
  constructor({ host, port }: ProxyTarget) {
    // The source is none in VPNKit too.
    const from = { src_ip: '0.0.0.0', src_port: 0 };
    const json = utf8(JSON.stringify({ protocol: 'tcp', ...from, dst_ip: host, dst_port: port }));
    this.hello = new Uint8Array(LENGTH + json.length);
    new DataView(this.hello.buffer).setUint16(0, json.length, true);
    this.hello.set(json, LENGTH);
  }

  push(bytes: Uint8Array, from: number, to: number): HandshakeStep {
    for (let at = from; at < to; at++) {
      this.answer.add(bytes, at, at + 1);
      const { bytes: got } = this.answer;
      if (got.length < LENGTH) continue;
      const len = (got[0] ?? 0) | ((got[1] ?? 0) << 8);
      if (len > MAX_ANSWER) {
        return proxyFailure('EPROTO', `an answer of ${len} bytes is announced`);
      }
      if (got.length === LENGTH + len) return stepOf(got.subarray(LENGTH), at + 1);
    }
    return 'more';
  }
}

function stepOf(json: Uint8Array, at: number): HandshakeStep {
  const answer = parse(new TextDecoder().decode(json));
  if (typeof answer !== 'object' || answer === null || !('accepted' in answer)) {
    return proxyFailure('EPROTO', 'the answer is not {"accepted":true} nor {"accepted":false}');
  }
  return answer.accepted === true
    ? { at }
    : proxyFailure('ECONNREFUSED', 'the server of the tunnel does not accept it');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
