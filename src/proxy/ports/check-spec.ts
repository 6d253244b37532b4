/** Whether a publication makes sense, where there is an agent or none. */
import type { IpAddress } from '../../base/ip-address.ts';
import type { AddressMap } from '../address-map.ts';
import { formatHostSide, PublishError, type PublishSpec, type UnixSpec } from './publish-spec.ts';

export interface SpecContext {
  readonly addresses: Pick<AddressMap, 'mayBeGuest'>;
  readonly hasAgent: boolean;
  readonly hasSsh: boolean;
}

export const isBySsh = (spec: PublishSpec): spec is UnixSpec =>
  spec.protocol === 'unix' && spec.ssh !== undefined;

/**
 * @returns whether the agent serves it
 * @throws PublishError
 */
export function checkSpec(spec: PublishSpec, context: SpecContext): boolean {
  const { guest, guestAddress, guestPath, via } = spec;
  if (spec.protocol === 'udp' && spec.proxyProtocol !== undefined) {
    throw refused('ERR_HAWSER_PUBLISH_UNSUPPORTED', spec, 'the PROXY protocol is for TCP only');
  }
  if (isBySsh(spec)) {
    checkSsh(spec, context);
    return false;
  }
  if (guestPath !== undefined && (via === 'net' || spec.protocol === 'udp')) {
    throw refused('ERR_HAWSER_PUBLISH_SYNTAX', spec, 'a Unix socket in the guest needs via mux');
  }
  const isBehind = guestAddress !== undefined && !context.addresses.mayBeGuest(guestAddress);
  if (guest !== undefined && (via === 'mux' || guestPath !== undefined)) {
    throw refused('ERR_HAWSER_PUBLISH_SYNTAX', spec, 'the agent knows no names of guests');
  }
  const useAgent = via === 'mux' || (via === undefined && (guestPath !== undefined || isBehind));
  if (!useAgent && isBehind) throw noGuest(spec, guestAddress);
  if (useAgent && !context.hasAgent) {
    const what = guestPath === undefined ? 'a port behind the guest' : 'a Unix socket of it';
    throw refused(
      'ERR_HAWSER_PUBLISH_NO_AGENT',
      spec,
      `there is no agent in the guest to reach ${what}; start "hawser agent" there, and lead to it from here: --mux of hawser run, --port-forwards of hawser-vpnkit`,
    );
  }
  return useAgent;
}

function checkSsh(spec: UnixSpec, { addresses, hasSsh }: SpecContext): void {
  const { guestAddress, via, proxyProtocol } = spec;
  if (!hasSsh) {
    throw refused('ERR_HAWSER_PUBLISH_UNSUPPORTED', spec, 'SSH forwards are not available here');
  }
  if (via !== undefined || proxyProtocol !== undefined) {
    const why = 'an SSH forward takes neither via nor the PROXY protocol';
    throw refused('ERR_HAWSER_PUBLISH_UNSUPPORTED', spec, why);
  }
  if (guestAddress !== undefined && !addresses.mayBeGuest(guestAddress)) {
    throw noGuest(spec, guestAddress);
  }
}

const noGuest = (spec: PublishSpec, address: IpAddress): PublishError =>
  refused(
    'ERR_HAWSER_PUBLISH_SYNTAX',
    spec,
    `${address} is not an address of a guest; use one of the guests' network`,
  );

export const refused = (code: string, spec: PublishSpec, why: string): PublishError =>
  new PublishError(code, `cannot publish ${formatHostSide(spec)}: ${why}`);
