/** A port that something in the guest wants on the host. */
export interface WantedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestAddress: string;
  readonly guestPort: number;
}

/** The place on the host: no two may have one. */
export const portKey = ({ protocol, hostAddress, hostPort }: WantedPort): string =>
  `${protocol} ${hostAddress} ${hostPort}`;

/** As `hawser expose` takes it. */
export function wantedText(port: WantedPort): string {
  const host = `${bracketed(port.hostAddress)}:${port.hostPort}`;
  return `${host}:${bracketed(port.guestAddress)}:${port.guestPort}/${port.protocol}`;
}

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address);
