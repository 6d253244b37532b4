import type { PortView } from '../../control/network-view.ts';

export const endpoint = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** `127.0.0.1:8080/tcp`, `unix:/run/x.sock`. */
export const hostSide = ({ protocol, hostAddress, hostPort, hostPath }: PortView): string =>
  hostPath === null
    ? `${endpoint(hostAddress ?? '*', hostPort ?? 0)}/${protocol}`
    : `unix:${hostPath}`;
