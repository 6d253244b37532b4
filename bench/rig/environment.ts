/**
 * What programs are started with: as users start them. Certificates that are named for Node are read whole at each of its
 * starts, which takes longer than the start itself; no other program here reads them.
 */
const { NODE_EXTRA_CA_CERTS: _certificates, ...environment } = process.env;

export const ENVIRONMENT: Readonly<NodeJS.ProcessEnv> = environment;
