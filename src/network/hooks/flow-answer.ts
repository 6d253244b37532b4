/** Answers of the hook for flows, as the proxy takes them. */
import { lookup } from 'node:dns/promises';
import { Duplex } from 'node:stream';
import { discardStream, isStreamInUse, takeStream } from '../../native/stream/program-streams.ts';
import type { TcpAnswer } from '../../proxy/flows/flow-gate.ts';
import { parseAddress } from '../../services/address-text.ts';

const DENIED = 'onFlow denies it';
const ALLOW: TcpAnswer = { kind: 'allow' };

/**
 * @returns undefined: it is none; of a redirection to a name too, see {@link withAddress}. A Duplex is the flow's from now on
 * @throws TypeError for a Duplex that cannot be a flow's; it is destroyed, unless it belongs to a link or to another flow
 */
export function readFlowAnswer(answer: unknown): TcpAnswer | undefined {
  if (answer === 'allow') return ALLOW;
  if (answer === 'deny') return { kind: 'deny', why: 'program', text: DENIED };
  if (answer instanceof Duplex) {
    const isOfAnother = isStreamInUse(answer);
    const problem = takeStream(answer);
    if (problem === undefined) return { kind: 'duplex', duplex: answer };
    if (!isOfAnother) discardStream(answer);
    throw new TypeError(`it answered a Duplex: ${problem}`);
  }
  const target = targetOf(answer);
  const address = target && parseAddress(target.host);
  return address && target && { kind: 'redirect', address: `${address}`, port: target.port };
}

/** @returns the same, or of a redirection to a name a promise of one to an address of it, as this host resolves it */
export function withAddress(answer: unknown): unknown {
  const target = targetOf(answer);
  if (target === undefined || parseAddress(target.host) !== undefined) return answer;
  const { host, port } = target;
  return lookup(host).then(({ address, family }) => ({
    redirect: `${family === 6 ? `[${address}]` : address}:${port}`,
  }));
}

function targetOf(answer: unknown): { readonly host: string; readonly port: number } | undefined {
  if (typeof answer !== 'object' || answer === null || !('redirect' in answer)) return undefined;
  const { redirect } = answer;
  if (typeof redirect !== 'string') return undefined;
  const [, bracketed, plain, digits] =
    /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(redirect) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}
