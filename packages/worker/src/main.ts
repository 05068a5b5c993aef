#!/usr/bin/env node
/** The command is in the package `taskfleet`, which is built on this one. */
const command: string = 'taskfleet/main'
await import(command).catch((error: NodeJS.ErrnoException) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes('taskfleet')) throw error
  process.stderr.write('The command is in its own package: npm install taskfleet\n')
  process.exitCode = 2
})
