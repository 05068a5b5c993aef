#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8'

// A worker lives long, idles much and passes large files through: a young generation that stays small saves it 25 MB.
// Only before anything else is loaded does this have its full effect.
setFlagsFromString('--semi-space-growth-factor=1')
const { runCli } = await import('./cli.ts')

process.exitCode = await runCli(process.argv.slice(2))
// What a handler left behind, or a connection that hangs, is no reason to stay: all that was to be done is done.
setTimeout(() => process.exit(), 100).unref()
