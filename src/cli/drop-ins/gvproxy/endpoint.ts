/** Where gvproxy's APIs and links listen, as URLs: `unix:///PATH`, `tcp://HOST:PORT`, `vsock://[CID]:PORT`. */
import { RunError } from '../../../network/errors.ts';
import { unixPathProblem } from '../../../transports/stream-address.ts';

export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'vsock'; readonly cid: number | undefined; readonly port: number };

/** @throws RunError */
export function parseEndpoint(url: string): Endpoint {
  const [, scheme = '', rest = ''] = /^([a-z]+):\/\/(.*)$/.exec(url) ?? [];
  const fail = (why: string): never => {
    throw new RunError(`cannot listen: ${url}: ${why}`);
  };
  switch (scheme) {
    case 'unix':
    case 'unixgram':
    case 'unixpacket': {
      const path = decoded(rest);
      const problem = path === '' ? 'has no path' : unixPathProblem(path);
      return problem === undefined ? { kind: 'unix', path } : fail(problem);
    }
    case 'tcp': {
      const [, host = '', portText = ''] = /^(?:\[?([^\]]*?)\]?)?:(\d{1,5})\/?$/.exec(rest) ?? [];
      const port = Number(portText);
      if (portText === '' || port > 65_535) return fail('must be tcp://HOST:PORT');
      return { kind: 'tcp', host, port };
    }
    case 'vsock': {
      const [, cid = '', portText = ''] = /^(\d{0,10}):(\d{1,10})\/?$/.exec(rest) ?? [];
      if (portText === '') return fail('must be vsock://[CID]:PORT');
      return { kind: 'vsock', cid: cid === '' ? undefined : Number(cid), port: Number(portText) };
    }
    default:
      return fail('unexpected scheme: use unix://, tcp:// or vsock://');
  }
}

/** Go's URLs have escapes, which paths of sockets have not. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
