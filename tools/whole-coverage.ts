/**
 * Lets the processes of the tests write their coverage to its end.
 *
 * Mocha asks its workers to exit and sends SIGTERM a second later; to write the counts of thousands of functions takes longer on
 * a busy machine, and whoever is killed in it leaves half a file, of which c8 takes nothing. A signal that is listened to does not kill.
 */
process.on('SIGTERM', () => process.exit());
