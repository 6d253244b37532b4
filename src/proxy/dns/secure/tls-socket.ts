/** The connection to a server that is asked over TLS: its name is resolved by the host, its certificate checked. */
import { isIP, type LookupFunction, type Socket } from 'node:net';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { errorCode } from '../../../native/errors.ts';
import type { DnsUpstream } from '../../../services/dns/resolv-conf.ts';
import type { HostLookup } from '../../host-lookup.ts';
import type { Cancel } from '../ask.ts';
import type { SecureDeps } from './secure-connection.ts';

export interface TlsSocketEvents {
  /** The server is whom it claims to be. The socket closes itself no more. */
  onOpen(socket: TLSSocket): void;
  onFailure(why: string): void;
}

/**
 * @param alpn undefined: none is offered; otherwise the server has to take it
 * @returns a function that gives up, also what is open
 */
export function openTlsSocket(
  server: DnsUpstream,
  deps: SecureDeps,
  alpn: string | undefined,
  events: TlsSocketEvents,
): Cancel {
  let isOver = false;
  let opening: Socket | undefined;
  let giveUp: Cancel = () => {};
  const fail = (why: string): void => {
    if (isOver) return;
    isOver = true;
    opening?.destroy();
    giveUp();
    events.onFailure(why);
  };
  const { address: host, port, tlsName = host } = server;
  const options: ConnectionOptions = {
    ...{ host, port, minVersion: 'TLSv1.2' },
    ...(isIP(tlsName) === 0 ? { servername: tlsName } : {}),
    ...(deps.authorities === undefined ? {} : { ca: deps.authorities }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  };
  // Loaded where it is used: most daemons never ask over TLS. A bundle has no `import()` for modules of Node's.
  const { connect } = process.getBuiltinModule('node:tls');
  const start = (through: Partial<ConnectionOptions>): void => {
    const socket = connect({ ...options, ...through });
    opening = socket;
    socket.unref();
    socket.setNoDelay();
    socket.on('error', (error) => fail(errorCode(error)));
    socket.on('close', () => fail('closed before the answer'));
    socket.once('secureConnect', () => {
      if (isOver) return;
      if (alpn !== undefined && socket.alpnProtocol !== alpn) {
        fail(`the server does not speak ${alpn}`);
      } else events.onOpen(socket);
    });
  };
  if (deps.dial === undefined) start({ lookup: lookupOf(deps.lookup) });
  else {
    giveUp = deps.dial(server, (got) => {
      if (isOver) {
        if (typeof got !== 'string') got.destroy();
      } else if (typeof got === 'string') fail(got);
      else {
        giveUp = () => got.destroy();
        got.unref();
        start({ socket: got });
      }
    });
  }
  return () => {
    isOver = true;
    giveUp();
    opening?.destroy();
  };
}

const lookupOf =
  (names: HostLookup): LookupFunction =>
  (host, { all }, callback) =>
    names.resolve(host, (found) => {
      const [first = ''] = found;
      if (typeof found === 'string') {
        callback(Object.assign(new Error(`${host} cannot be resolved`), { code: found }), []);
      } else if (all === true) {
        callback(
          null,
          found.map((address) => ({ address, family: isIP(address) })),
        );
      } else callback(null, first, isIP(first));
    });
