import type { KeyRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { Pencil, Plus, Trash2 } from 'lucide-react'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { useCan, useLimited } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { KeyDialog } from '../shell/dialogs.tsx'
import { useOwnKey } from '../shell/own-key.ts'
import { byUse, KEY_LOOK, keyView } from '../view/key-state.ts'
import { visibleLine } from '../view/text.ts'
import { Button } from './button.tsx'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { Copyable } from './copy.tsx'
import { Foreign } from './foreign.tsx'
import { IconButton } from './icon-button.tsx'
import type { MadeKey } from './key-dialog.tsx'
import { Listing } from './listing.tsx'
import { LookMark } from './look-mark.tsx'
import { EmptyNote } from './notes.tsx'
import { Section } from './section.tsx'
import { type Column, Table } from './table.tsx'
import { Time } from './time.tsx'

const AGAIN_MS = 10_000

const NONE = {
  title: 'There is no key yet',
  hint: 'This computer may do everything, and other computers cannot connect. The first key locks the fleet.',
}

type Opened = { dialog: 'make' } | { dialog: 'edit' | 'revoke'; key: KeyRow }

/** The keys of this fleet, for administrators. */
export function KeysSection() {
  const { welcome } = useFleetClient()
  const isAdmin = useCan('admin')
  const isLimited = useLimited()
  // Kept here and not in `Keys`, which is not shown while the page reconnects with the first key.
  const [made, setMade] = useState<MadeKey>()
  const token = made !== undefined && <Token made={made} onDone={() => setMade(undefined)} />
  if (isAdmin && !isLimited) return <Keys token={token} onMade={setMade} />
  return (
    <Section title="Keys">
      {token}
      {welcome === undefined ? (
        <EmptyNote title="Loading…" />
      ) : (
        <EmptyNote title="This key may not manage keys">
          {isAdmin
            ? 'It is limited to some queues or names. Keys belong to none of them.'
            : 'Managing keys needs a key with the scope admin that is not limited to queues or names.'}
        </EmptyNote>
      )}
    </Section>
  )
}

function Keys({ token, onMade }: { token: ReactNode; onMade: (made: MadeKey) => void }) {
  const client = useFleetClient()
  const own = useOwnKey()
  const now = useServerTime()
  const { answer = [], at, error, tryAgain } = useAsked(() => client.keys.list(), { key: 'keys', everyMs: AGAIN_MS })
  const [opened, setOpened] = useState<Opened>()
  const loaded = at !== undefined
  const isFirst = loaded && answer.length === 0
  const close = () => setOpened(undefined)
  const columns: Column<KeyRow>[] = [
    {
      title: 'Name',
      className: 'sm:min-w-40',
      cell: ({ id, name, createdAt }) => (
        <>
          <Foreign text={name} max={100} className="font-medium" />
          {id === own.id && <span className="text-xs text-dim"> · this page</span>}
          <span className="block text-[11px] whitespace-nowrap text-dim">
            <code className="font-mono">{visibleLine(id, 40)}</code>, made <Time at={createdAt} now={now} />
          </span>
        </>
      ),
    },
    {
      title: 'State',
      className: 'sm:whitespace-nowrap',
      cell: (key) => (
        <>
          <LookMark look={KEY_LOOK[keyView(key, now)]} />
          {key.revokedAt !== undefined && <Time at={key.revokedAt} now={now} className="block text-xs text-dim" />}
        </>
      ),
    },
    { title: 'Scopes', className: 'sm:min-w-24', cell: ({ scopes }) => scopes.join(', ') },
    { title: 'Queues', className: 'sm:min-w-20', cell: ({ queues }) => <Limits to={queues} /> },
    { title: 'Names', className: 'sm:min-w-20', cell: ({ names }) => <Limits to={names} /> },
    {
      title: 'Expires',
      className: 'sm:whitespace-nowrap',
      cell: ({ expiresAt }) =>
        expiresAt === undefined ? <span className="text-dim">never</span> : <Time at={expiresAt} now={now} />,
    },
    {
      title: 'Action',
      number: true,
      alone: true,
      // Visible even if the table has to be scrolled.
      className: 'sm:sticky sm:right-0 sm:bg-panel',
      cell: (key) =>
        key.state !== 'revoked' && (
          <>
            <IconButton
              icon={Pencil}
              label={`Edit ${visibleLine(key.name, 60)}`}
              title="Edit…"
              onClick={() => setOpened({ dialog: 'edit', key })}
            />
            <IconButton
              icon={Trash2}
              label={`Revoke ${visibleLine(key.name, 60)}`}
              title="Revoke…"
              danger
              onClick={() => setOpened({ dialog: 'revoke', key })}
            />
          </>
        ),
    },
  ]
  return (
    <Section
      title="Keys"
      head={
        <>
          <p className="text-dim max-sm:hidden">Changes to a key take effect within a second.</p>
          <Button
            icon={Plus}
            look="solid"
            className="ml-auto"
            disabled={!loaded}
            onClick={() => setOpened({ dialog: 'make' })}
          >
            Make a key
          </Button>
        </>
      }
    >
      {token}
      <Listing views={[{ error, tryAgain }]} loaded={loaded} count={answer.length} empty={NONE}>
        <Table
          label="Keys"
          columns={columns}
          rows={byUse(answer)}
          keyOf={({ id }) => id}
          attributes={(key) => ({ 'data-testid': 'key-row', 'data-key': key.id, 'data-state': keyView(key, now) })}
        />
      </Listing>
      {opened?.dialog === 'make' && (
        <KeyDialog
          of={isFirst ? 'first' : 'new'}
          onMade={(one) => {
            onMade(one)
            // From now on the fleet is locked, and this page needs the key as well.
            if (isFirst) own.change(one.token)
          }}
          onChanged={tryAgain}
          onClose={close}
        />
      )}
      {opened?.dialog === 'edit' && <KeyDialog of={opened.key} onMade={onMade} onChanged={tryAgain} onClose={close} />}
      {opened?.dialog === 'revoke' && (
        <ConfirmDialog
          title="Revoke this key?"
          confirm="Revoke it"
          run={async () => {
            await client.keys.revoke({ id: opened.key.id })
            tryAgain()
            return `Revoked the key ${opened.key.name}`
          }}
          onClose={close}
        >
          <Foreign text={opened.key.name} max={100} className="font-medium" /> can no longer be used. Pages and programs
          that use it are cut off within a second, together with their sessions and the sockets of tasks that they
          watch. Tasks that it enqueued stay. A revoked key cannot be restored.
          {opened.key.id === own.id && (
            <strong className="mt-2 block text-bad">This page uses this key, and is cut off too.</strong>
          )}
        </ConfirmDialog>
      )}
    </Section>
  )
}

/** The token of a new key, until the user has stored it. Nothing closes it by accident. */
function Token({ made: { name, token }, onDone }: { made: MadeKey; onDone: () => void }) {
  const ref = useRef<HTMLElement>(null)
  useEffect(() => {
    // The dialog that closes first returns the focus to where it was.
    const frame = requestAnimationFrame(() => ref.current?.focus())
    return () => cancelAnimationFrame(frame)
  }, [])
  return (
    <section
      ref={ref}
      tabIndex={-1}
      aria-label="The new key"
      data-testid="made-key"
      className="panel flex flex-wrap items-center gap-x-4 gap-y-2 border-warn p-3"
    >
      <div className="min-w-0 flex-1 basis-80">
        <p className="mb-1">
          The key <Foreign text={name} max={100} className="font-medium" />:{' '}
          <span className="font-medium text-warn">copy it now, it is not shown again.</span>
        </p>
        <Copyable text={token} label="the key" />
      </div>
      <Button onClick={onDone}>I have stored it</Button>
    </section>
  )
}

function Limits({ to }: { to: readonly string[] | undefined }) {
  if (to === undefined) return <span className="text-dim">all</span>
  return <Foreign text={to.join(', ')} max={160} />
}
