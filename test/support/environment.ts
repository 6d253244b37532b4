/**
 * Loaded by Mocha before the tests. Certificates that are named for Node are read whole at each of its starts, which takes
 * longer than the start itself; tests start it some thousand times, and say themselves where they need any.
 */
delete process.env['NODE_EXTRA_CA_CERTS'];
