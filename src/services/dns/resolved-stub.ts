/** Where systemd-resolved listens (systemd-resolved.service(8)): its stub, and its proxy that passes messages as they are. */
import { DNS_PORT } from './message.ts';
import type { DnsUpstream } from './resolv-conf.ts';

const STUB = '127.0.0.53';
const PASS_THROUGH = '127.0.0.54';

/** @returns the pass-through where `servers` are the stub */
export const passThroughOf = (servers: readonly DnsUpstream[]): DnsUpstream | undefined =>
  servers.some(
    ({ address, port, tlsName }) => address === STUB && port === DNS_PORT && tlsName === undefined,
  )
    ? { address: PASS_THROUGH, port: DNS_PORT }
    : undefined;
