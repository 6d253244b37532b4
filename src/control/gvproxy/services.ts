/** The paths of gvproxy's API that answer with text: services, leases, the switch's addresses, counters. */
import type { ZoneTable } from '../../services/dns/zone-table.ts';
import { GVPROXY_PREFIX, gvproxyForwarder } from '../ports/gvproxy-forwarder.ts';
import type { PortAccess } from '../ports/port-access.ts';
import type { Answer, CompatRequest } from '../route.ts';
import { dnsService } from './dns.ts';
import { goJson, sortedObject } from './go-http.ts';
import type { DialGuest } from './tunnel.ts';

/** The network, as the API acts on it. */
export interface GvproxyTarget {
  readonly ports: PortAccess;
  readonly zones: ZoneTable;
  readonly dial: DialGuest;
  /** Ethernet addresses by the address that they have, the gateway's too. */
  leases(): Iterable<readonly [string, string]>;
  /** Of each Ethernet address heard, the number of its connection. */
  cam(): Iterable<readonly [string, number]>;
  stats(): object;
}

/** @returns undefined where there is nothing at the path */
export async function answerService(
  request: CompatRequest,
  target: GvproxyTarget,
): Promise<Answer | undefined> {
  const { path } = request;
  if (path.startsWith(GVPROXY_PREFIX)) return await gvproxyForwarder(request, target.ports);
  switch (path) {
    case '/services/dhcp/leases':
    case '/leases':
      return goJson(sortedObject(target.leases()));
    case '/services/dns/all':
    case '/services/dns/add':
      return await dnsService(request, target.zones);
    case '/cam':
      return goJson(sortedObject(target.cam()));
    case '/stats':
      return goJson(target.stats());
    default:
      return undefined;
  }
}
