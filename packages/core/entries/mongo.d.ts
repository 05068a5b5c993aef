export * from '@taskfleet/dev-mongo'
