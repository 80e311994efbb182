"""The protections, one mutant each: what is taken away, by which patch, and which tests notice."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
LEDGER: Final = "storage/migrations/0001_ledger.sql"
APPLY: Final = "storage/migrations/0003_apply.sql"
OWNERSHIP: Final = "tests/storage/test_ownership.py::"
STORE_GAPS: Final = "tests/storage/test_mutant_gaps.py::"
LANE: Final = "tests/lane/test_lane.py::"
FAULTS: Final = "tests/lane/test_faults.py::"
AHEAD: Final = "tests/lane/test_ahead.py::"
REPLAYS: Final = "tests/cache/test_replays.py::"
BALANCES: Final = "tests/cache/test_balances.py::"
BUCKETS: Final = "tests/lane/test_ownership.py::"
MOVES: Final = "tests/lane/test_moves_interrupted.py::"
MOVED: Final = "tests/lane/test_moves_with_users.py::"
LANE_GAPS: Final = "tests/lane/test_mutant_gaps.py::"
CONSUMERS: Final = "tests/consumers/test_loop.py::"
INBOX: Final = "tests/consumers/test_inbox.py::"
NOTIFICATIONS: Final = "tests/services/notifications/"
WEBHOOKS: Final = "tests/services/webhooks/"
REPORTS: Final = "tests/services/reporting/"
ARCHIVE: Final = "tests/storage/test_archive.py::"


class PatchDoesNotFit(Exception):
    """The text that a mutant replaces is not in its file exactly once: mend the mutant."""


class Mutant(NamedTuple):
    """A build with one protection taken away, and the tests that must turn red."""

    sentence: str
    file: str
    old: str
    new: str
    killers: tuple[str, ...]

    @property
    def path(self) -> Path:
        return ROOT / self.file

    def altered(self) -> str:
        """Return the text of the file without the protection."""
        text = self.path.read_text()
        if text.count(self.old) != 1 or self.old == self.new:
            raise PatchDoesNotFit(f"{self.file}: {self.old!r}")
        return text.replace(self.old, self.new)


MUTANTS: Final[Mapping[str, Mutant]] = {
    "no-unique-key": Mutant(
        "The database stores the same request key twice.",
        LEDGER,
        "    CONSTRAINT requests_pkey PRIMARY KEY (tenant_id, request_id),\n",
        "",
        (OWNERSHIP + "test_a_request_key_is_stored_once",),
    ),
    "no-fence": Mutant(
        "Whoever lost the lane may still write to it and answer from it.",
        APPLY,
        "    IF NOT FOUND THEN\n        RAISE EXCEPTION 'lane is owned by another'",
        "    IF FALSE THEN\n        RAISE EXCEPTION 'lane is owned by another'",
        (OWNERSHIP + "test_an_epoch_raised_behind_the_owner_fences_it",),
    ),
    "fence-without-lock": Mutant(
        "A takeover does not wait for the statement that the old owner is running (R2).",
        APPLY,
        "\n       FOR SHARE;",
        ";",
        (OWNERSHIP + "test_a_raised_epoch_waits_for_a_statement_in_flight_even_without_eviction",),
    ),
    "no-check-of-replays": Mutant(
        "A batch without writes is answered without checking the fence (R6).",
        "processor/beats.py",
        "                self._meanwhile()\n"
        "                await self._storage.check(self._opened.ownership)\n",
        "                self._meanwhile()\n",
        (FAULTS + "test_a_replay_and_a_refusal_check_that_the_lane_is_still_owned[memory]",),
    ),
    "two-owners": Mutant(
        "A second owner takes the lane while the first one lives (R11).",
        "storage/postgres/lane_store.py",
        "        if not await lane.fetchval(_LOCK, self._name):",
        "        if not await lane.fetchval(_LOCK, self._name) and False:",
        (OWNERSHIP + "test_a_second_owner_waits_while_the_first_one_lives",),
    ),
    "no-account-version": Mutant(
        "An account is overwritten whatever its version (R4).",
        APPLY,
        " AND a.version = n.expected;",
        ";",
        (OWNERSHIP + "test_a_stale_version_is_refused",),
    ),
    "no-payment-version": Mutant(
        "A payment is overwritten whatever its version (R4).",
        APPLY,
        " AND p.version = n.expected;",
        ";",
        (STORE_GAPS + "test_a_payment_with_another_version_is_refused",),
    ),
    "no-floor-in-the-database": Mutant(
        "Only the lane's memory knows the floor of an account.",
        LEDGER,
        "    CONSTRAINT accounts_available_above_floor"
        " CHECK (floor IS NULL OR posted - held >= floor),\n",
        "",
        (OWNERSHIP + "test_the_database_refuses_a_balance_under_its_floor",),
    ),
    "journal-link-unchecked": Mutant(
        "A journal row may follow a row that its lane never saw (R3).",
        APPLY,
        "WHERE seq = p_seq - 1 AND hash = p_previous_hash",
        "WHERE seq = p_seq - 1",
        (OWNERSHIP + "test_a_batch_that_does_not_follow_the_journal_is_refused",),
    ),
    "journal-with-gaps": Mutant(
        "The journal may skip a number.",
        APPLY,
        "WHERE seq = p_seq - 1 AND hash = p_previous_hash",
        "WHERE hash = p_previous_hash",
        (STORE_GAPS + "test_a_journal_row_that_skips_a_number_is_refused",),
    ),
    "hash-without-content": Mutant(
        "The hash chain does not cover what a batch wrote (R17).",
        "processor/domain/chain.py",
        "    digest.update(body)\n",
        "",
        ("tests/storage/test_verify.py::test_any_byte_of_the_journal_is_found",),
    ),
    "second-leg-may-fail": Mutant(
        "Money that was debited on one shard is refused on the other.",
        "processor/domain/rules/legs.py",
        "    if to is None:\n        to = sheet.own_account(",
        "    if to is None:\n"
        "        raise refusals.AccountUnknown(account_id=leg.account_id)\n"
        "        to = sheet.own_account(",
        (
            "tests/domain/test_legs.py::"
            "test_money_for_an_account_that_cannot_take_it_lies_in_suspense[FROZEN]",
        ),
    ),
    "leg-taken-twice": Mutant(
        "The database takes a leg that it has already.",
        LEDGER,
        "    CONSTRAINT legs_received_pkey PRIMARY KEY (source, number),\n",
        "",
        (STORE_GAPS + "test_a_leg_that_comes_twice_or_skips_one_is_refused[1]",),
    ),
    "leg-skipped": Mutant(
        "The database takes a leg although the one before it has not come.",
        APPLY,
        "                    SELECT 1 FROM legs_received AS b\n"
        "                     WHERE b.source = n.source AND b.number = n.number - 1\n",
        "                    SELECT 1\n",
        (STORE_GAPS + "test_a_leg_that_comes_twice_or_skips_one_is_refused[3]",),
    ),
    "page-below-any-row": Mutant(
        "A page token that names somebody else's payment leads into that payer's list.",
        "storage/postgres/chains.py",
        "WHERE b.id = $2 AND b.payer_account_id = $1",
        "WHERE b.id = $2 AND $1 <> ''",
        ("tests/storage/test_chains.py::test_a_page_below_somebody_else_s_row_is_empty",),
    ),
    "no-marks": Mutant(
        "Walks to past balances of a busy account have no end in sight.",
        APPLY,
        "WHERE n.version / 64 <> n.expected / 64 AND",
        "WHERE FALSE AND",
        ("tests/storage/test_chains.py::test_marks_keep_the_walks_to_past_balances_short",),
    ),
    "unreplicated-is-durable": Mutant(
        "A commit that no standby has counts as durable (R13).",
        "storage/postgres/lane_store.py",
        '            raise Ambiguous("not replicated")',
        "            pass",
        (OWNERSHIP + "test_an_unreplicated_commit_is_not_taken_for_durable",),
    ),
    "answer-before-commit": Mutant(
        "Callers are answered when their command is decided, not when it is committed.",
        "processor/openbatch.py",
        "        self.replies.append((entry, reply))\n",
        "        self.replies.append((entry, reply))\n        entry.reply(reply)\n",
        (FAULTS + "test_nothing_is_answered_before_it_is_committed[memory]",),
    ),
    "lost-is-undone": Mutant(
        "An apply whose answer was lost counts as not carried out (R5).",
        "processor/beats.py",
        "        except (Rejected, Conflict, Fenced):\n            for (entry, _), uncertain",
        "        except (Rejected, Conflict, Fenced, Exception):\n"
        "            for (entry, _), uncertain",
        (LANE_GAPS + "test_what_commits_after_it_seemed_lost_is_never_called_undone[memory]",),
    ),
    "failed-batch-remembered": Mutant(
        "What was decided on top of a batch that failed stays in memory (R3).",
        "processor/openbatch.py",
        "        self._cache.forget(self.touched())\n",
        "",
        (AHEAD + "test_what_was_decided_on_a_batch_that_failed_is_decided_again[memory-KeyTaken]",),
    ),
    "fingerprint-ignored": Mutant(
        "Another request with the same request_id gets the first one's answer.",
        "processor/work.py",
        "    if key.fingerprint == entry.fingerprint:",
        "    if key.fingerprint is not None:",
        (LANE + "test_a_request_id_with_another_amount_is_refused_naming_the_field[memory]",),
    ),
    "access-after-replay": Mutant(
        "A stored answer is shown before it is asked whose it is.",
        "processor/work.py",
        "        check_access(cache, command)\n",
        "        if cache.key(command.principal.tenant_id, command.request_id) is None:\n"
        "            check_access(cache, command)\n",
        (LANE_GAPS + "test_a_stored_answer_is_not_shown_to_another_merchant[memory]",),
    ),
    "keys-of-all-tenants": Mutant(
        "A request_id of one tenant is taken for every other one.",
        "processor/cache.py",
        "        return self._keys.get((tenant_id, request_id))\n",
        "        return next(\n"
        "            (one for (_, name), one in self._keys.items()\n"
        "             if name == request_id and one is not None), None)\n",
        (LANE_GAPS + "test_a_request_id_belongs_to_its_tenant[memory]",),
    ),
    "tombstone-ignored": Mutant(
        "A payment that was reversed before it arrived is carried out all the same.",
        "processor/domain/rules/payments.py",
        "reversed_before=key is not None)",
        "reversed_before=False)",
        (LANE + "test_a_reversal_that_comes_first_declines_the_late_original[memory]",),
    ),
    "expiry-only-in-the-sweep": Mutant(
        "Held funds come free when the sweeper passes, not when the hold runs out (R18).",
        "processor/work.py",
        "        now = batch.context.now if expiring else 0\n",
        "        now = 0 if any(entry.method_name for entry in entries) else batch.context.now\n",
        (
            "tests/lane/test_housekeeping.py::"
            "test_an_expired_hold_frees_funds_at_once_for_the_next_decision[memory]",
        ),
    ),
    "replay-after-failover": Mutant(
        "A cached answer is believed although the lane has failed over since (R12).",
        "gateway/replays.py",
        "    if not entry.incarnation or entry.incarnation != incarnation_of(entry.shard):",
        "    if not entry.incarnation:",
        (REPLAYS + "test_an_answer_of_an_earlier_incarnation_is_not_believed[http2]",),
    ),
    "replay-of-another-request": Mutant(
        "A cached answer is given to another request with the same request_id.",
        "gateway/replays.py",
        "    fields = differing_fields(entry, ticket)\n",
        "    fields: list[str] = []\n",
        (REPLAYS + "test_another_request_with_the_same_id_is_the_lane_s_to_judge[http2]",),
    ),
    "replay-to-anybody": Mutant(
        "A cached answer is shown to every merchant of the tenant.",
        "gateway/replays.py",
        "    if entry.scope != ticket.scope:",
        "    if not ticket.scope:",
        (REPLAYS + "test_an_answer_is_not_shown_to_another_merchant_of_the_tenant[http2]",),
    ),
    "replay-unsealed": Mutant(
        "Whoever can write to Redis can forge an answer.",
        "storage/redis/sealed.py",
        "body if secrets.compare_digest(mac, self._mac(key, body)) else None",
        "body",
        (REPLAYS + "test_an_answer_that_was_moved_to_another_key_is_no_answer[http2]",),
    ),
    "no-shield": Mutant(
        "A caller that leaves takes its command along.",
        "gateway/lane_client.py",
        "        return outcome\n",
        "        sent = self._last_correlation_id\n"
        "        outcome.add_done_callback(\n"
        "            lambda done: self._give_up([sent]) if done.cancelled() else None\n"
        "        )\n"
        "        return outcome\n",
        ("tests/gateway/test_lane.py::test_a_cancelled_call_is_carried_out_to_its_end",),
    ),
    "bulk-overtakes": Mutant(
        "A bulk command is let in behind one that was refused and will be sent again.",
        "processor/servicer.py",
        "        elif bulk_round <= outbox.bulk_round_refused:\n",
        "        elif False:\n",
        ("tests/lane/test_rounds.py::test_a_round_in_which_a_bulk_command_was_refused_is_over",),
    ),
    "bulk-overtakes-in-its-message": Mutant(
        "A bulk command is let in behind one of the same message that was refused.",
        "processor/waiting.py",
        "(entry.bulk and bulk_refused) or ",
        "",
        (
            "tests/lane/test_rounds.py::"
            "test_behind_a_bulk_command_that_is_refused_none_of_its_message_is_taken",
        ),
    ),
    "bulk-sent-again-too-early": Mutant(
        "What the lane refused is sent again while what came behind it is still under way.",
        "gateway/lane_client.py",
        " or self._is_bulk_under_way_behind()",
        "",
        (
            "tests/gateway/test_full_lane.py::"
            "test_what_waits_is_not_sent_again_before_all_behind_it_waits_too",
        ),
    ),
    "sent-twice-is-final": Mutant(
        "A command sent twice is called not carried out because its second sending was not (R16).",
        "gateway/lane_client.py",
        "        if command.times_sent > 1 and _is_undecided(outcome):",
        "        if False:",
        (
            "tests/gateway/test_lane.py::"
            "test_an_undecided_refusal_of_a_command_sent_twice_leaves_its_outcome_unknown",
        ),
    ),
    "map-trusted": Mutant(
        "A lane takes the map's word for its buckets, not its own database's (R20).",
        "processor/domain/ownership.py",
        "    if buckets is None or (place.homes is None and buckets.has_all):",
        "    if True:",
        (BUCKETS + "test_a_map_that_gives_a_lane_another_s_buckets_changes_nothing[memory]",),
    ),
    "elsewhere-forgets": Mutant(
        "A repeat of what is stored here is sent away because its bucket has left.",
        "processor/work.py",
        "        if key is not None and key.method != TOMBSTONE and"
        " key.fingerprint == entry.fingerprint:",
        "        if key is None and False:",
        (
            BUCKETS + "test_a_repeat_of_what_is_stored_here_gets_its_answer_though_the_bucket"
            "_has_left[memory]",
        ),
    ),
    "buckets-not-compared": Mutant(
        "A batch decided with other buckets than the shard's is committed (R20).",
        APPLY,
        "    IF p_buckets_version <> coalesce(",
        "    IF FALSE AND p_buckets_version <> coalesce(",
        (OWNERSHIP + "test_a_batch_decided_with_other_buckets_is_refused",),
    ),
    "no-second-look": Mutant(
        "A bucket is given away with the user who came while it was being looked through.",
        "processor/moves.py",
        "first=lambda: require_no_users(since)",
        "first=None",
        (
            "tests/lane/test_moves.py::"
            "test_a_user_who_comes_at_the_last_moment_keeps_the_bucket_here[memory]",
        ),
    ),
    "copies-not-awaited": Mutant(
        "A bucket is taken before all that belongs to it is copied.",
        "processor/domain/copies.py",
        "    if known is None or known.source != source or known.place:\n        return False\n",
        "    if known is None or known.source != source or known.place:\n        return True\n",
        (MOVES + "test_a_bucket_whose_copies_were_lost_waits_until_they_are_there[memory]",),
    ),
    "copies-answer": Mutant(
        "A repeat that went astray is answered from a copy, which may be of a lost history.",
        "processor/work.py",
        "        if self.buckets is not None and not self.buckets.had(",
        "        if self.buckets is None and not self.buckets.had(",
        (MOVES + "test_no_repeat_is_answered_from_a_copy_before_the_bucket_has_come[memory]",),
    ),
    "keys-left-behind": Mutant(
        "A bucket moves without its request keys: a repeat is decided anew.",
        "processor/domain/copies.py",
        "        keys.append(one)\n",
        "        pass\n",
        (MOVED + "test_a_repeat_after_the_move_gets_its_first_answer[memory]",),
    ),
    "holds-left-behind": Mutant(
        "An account moves without what is held of it.",
        "processor/domain/rules/moves.py",
        "    if leg.account.held:\n",
        "    if leg.account.held and False:\n",
        (MOVED + "test_money_and_holds_are_where_the_bucket_went[memory]",),
    ),
    "frozen-goes-on": Mutant(
        "A lane decides on a bucket while that moves.",
        "processor/domain/ownership.py",
        "    for bucket in frozen:\n",
        "    for bucket in frozen - frozen:\n",
        (MOVES + "test_a_frozen_bucket_is_nobody_s_and_the_others_go_on[memory]",),
    ),
    "frozen-for-ever": Mutant(
        "A mover that dies leaves its bucket frozen.",
        "processor/moves.py",
        "            if freeze.until <= now:\n",
        "            if freeze.until <= now and False:\n",
        (MOVES + "test_a_freeze_ends_by_itself[memory]",),
    ),
    "released-behind": Mutant(
        "A bucket is released though its copy lacks what came before the freeze.",
        "processor/moves.py",
        "            if position.seq < freeze.seq:\n",
        "            if position.seq < freeze.seq and False:\n",
        (MOVES + "test_a_bucket_is_not_released_while_its_copy_is_behind[memory]",),
    ),
    "legs-not-sent-on": Mutant(
        "Money for an account that has moved is credited where the account was.",
        "processor/domain/rules/moves.py",
        "    if leg.kind in _TO_ACCOUNT:\n",
        "    if leg.kind in _TO_ACCOUNT and False:\n",
        (MOVED + "test_money_for_an_account_that_has_moved_is_sent_on[memory]",),
    ),
    "own-rows-overwritten": Mutant(
        "A late page of a copy overwrites what is the shard's own by now.",
        "processor/domain/copies.py",
        "    if is_here(page.bucket, place) or (\n",
        "    if (\n",
        (MOVES + "test_what_is_the_shard_s_own_is_never_overwritten_by_copies[memory]",),
    ),
    "pages-in-any-order": Mutant(
        "A page that does not continue the copy is kept all the same.",
        "processor/domain/copies.py",
        "page.after is not None and page.after != view.copied(page.bucket)\n",
        "page.after is not None and view.copied(page.bucket) is None\n",
        (MOVES + "test_a_page_that_does_not_continue_changes_nothing[memory]",),
    ),
    "moved-rows-are-read": Mutant(
        "Rows that stayed behind when their bucket moved are shown as if they were true.",
        "storage/postgres/snapshot.py",
        "        return self._buckets is None or self._buckets.has(ids.home_of_id(identifier))\n",
        "        return True\n",
        (
            "tests/storage/test_moved_reads.py::test_single_reads_are_sent_on_to_where_the_bucket_is",
        ),
    ),
    "no-scopes": Mutant(
        "Any key may call anything.",
        "gateway/access.py",
        "    if allowed.isdisjoint(identity.scopes):",
        "    if not allowed:",
        ("tests/gateway/test_access.py::test_each_role_gets_exactly_what_the_table_allows",),
    ),
    "balances-of-any-generation": Mutant(
        "A balance that the cache missed is told in its older form beside a newer commit.",
        "storage/balances.py",
        "        if known.generation != generation:\n            return None\n",
        "",
        (BALANCES + "test_what_the_cache_did_not_hear_is_not_told_in_an_older_form[lost]",),
    ),
    "balances-of-what-left": Mutant(
        "A balance that moved to another shard is still told as it was here.",
        "processor/telling.py",
        "        if batch.buckets is not None:\n",
        "        if False:\n",
        (BALANCES + "test_buckets_that_leave_take_along_what_was_told_of_them",),
    ),
    "late-balances-heard": Mutant(
        "An owner that lost its lane overwrites what the new one tells of balances.",
        "storage/balances.py",
        "% (told.epoch, time_ms)",
        "% (1, time_ms)",
        (BALANCES + "test_an_owner_that_lost_the_lane_is_not_heard",),
    ),
    "effects-repeated": Mutant(
        "An event that is delivered again has its effect again.",
        "processor/consumers/loop.py",
        "for id, read in first.items() if id in fresh]",
        "for id, read in first.items()]",
        (CONSUMERS + "test_repeated_deliveries_have_one_effect",),
    ),
    "letters-lost": Mutant(
        "An event counts as parked though the dead-letter queue did not take it.",
        "processor/consumers/loop.py",
        "            if problem:\n                pause = self._note_failure(",
        "            if False:\n                pause = self._note_failure(",
        (CONSUMERS + "test_a_partition_whose_letter_is_not_stored_stands_still_and_others_go_on",),
    ),
    "outage-is-poison": Mutant(
        "Events are parked because what they need is away.",
        "processor/consumers/retry.py",
        "        case DependencyDown():\n            return Verdict.DOWN",
        "        case DependencyDown():\n            return Verdict.ERROR",
        (CONSUMERS + "test_a_dependency_of_the_handler_that_is_down_is_waited_for",),
    ),
    "commit-unchecked": Mutant(
        "A transaction that the server rolled back counts as committed.",
        "storage/postgres/inbox.py",
        'if ended != "COMMIT":',
        "if False:",
        (INBOX + "test_a_statement_that_failed_and_was_passed_over_commits_nothing",),
    ),
    "late-senders-heard": Mutant(
        "Who sent a message too slowly records its end over that of whoever sent it meanwhile.",
        "services/notifications/message_store.py",
        "\n WHERE number = $1 AND fence = $2 AND",
        "\n WHERE number = $1 AND $2::bigint >= 0 AND",
        (NOTIFICATIONS + "test_worker.py::test_who_sends_too_slowly_records_nothing",),
    ),
    "opting-out-unheard": Mutant(
        "Who opted out after a message was written gets it all the same.",
        "services/notifications/worker.py",
        "    if not contact.wants(kind, leased.channel):",
        "    if False:",
        (NOTIFICATIONS + "test_worker.py::test_who_opted_out_after_it_was_written_gets_nothing",),
    ),
    "away-is-a-try": Mutant(
        "While nobody answers messages use up their tries.",
        "services/notifications/outcomes.py",
        "return _again(code, False, now,",
        "return _again(code, True, now,",
        (NOTIFICATIONS + "test_outcomes.py::test_each_outcome_has_its_consequence",),
    ),
    "templates-compute": Mutant(
        "A template may do whatever Jinja's sandbox lets it.",
        "services/notifications/engine.py",
        "        _check(tree, 0)\n",
        "",
        (
            NOTIFICATIONS
            + "test_words.py::test_what_a_message_does_not_need_is_broken[{% set x = 1 %}]",
        ),
    ),
    "subjects-of-two-lines": Mutant(
        "What others wrote may begin another header behind the subject.",
        "services/notifications/templates.py",
        '_one_line(made["subject"])',
        'made["subject"]',
        (NOTIFICATIONS + "test_words.py::test_a_subject_is_one_line_whatever_it_shows",),
    ),
    "codes-shown-to-operators": Mutant(
        "A dead letter shows the code that somebody is to log in with.",
        "deploy/local/commands/dlq_pages.py",
        "            request.texts.update(dict.fromkeys(request.texts, HIDDEN))\n",
        "",
        (
            "tests/consumers/test_dlq_command.py::"
            "test_a_request_for_a_message_is_shown_without_its_texts",
        ),
    ),
    "webhooks-inside": Mutant(
        "A webhook goes to whatever address its name leads to.",
        "services/webhooks/resolving.py",
        "        if not all(self._may_be_used(one.host) for one in found):",
        "        if not found:",
        (
            WEBHOOKS + "test_sending.py::"
            "test_a_name_that_answers_well_and_then_otherwise_is_refused_the_second_time",
        ),
    ),
    "webhooks-redirected": Mutant(
        "A receiver sends the sender on to somebody else.",
        "services/webhooks/sending.py",
        "allow_redirects=False",
        "allow_redirects=True",
        (WEBHOOKS + "test_sending.py::test_a_redirect_is_not_followed",),
    ),
    "webhooks-patient": Mutant(
        "A receiver that hangs is waited for without an end.",
        "services/webhooks/sending.py",
        "            async with asyncio.timeout(self._seconds_max):",
        "            async with asyncio.timeout(None):",
        (WEBHOOKS + "test_sending.py::test_a_receiver_that_hangs_has_its_time_and_no_more",),
    ),
    "webhooks-unfenced": Mutant(
        "A worker that lost its lease still records what it did.",
        "services/webhooks/queue_store.py",
        "           failures = CASE WHEN $4::boolean THEN 0 ELSE failures + 1 END\n"
        "     WHERE endpoint_id = $1 AND lease = $2\n",
        "           failures = CASE WHEN $4::boolean THEN 0 ELSE failures + 1 END\n"
        "     WHERE endpoint_id = $1 AND $2::bigint IS NOT NULL\n",
        (
            WEBHOOKS + "test_worker.py::"
            "test_a_worker_that_was_paused_beyond_its_lease_records_nothing",
        ),
    ),
    "webhooks-asleep": Mutant(
        "A queue counts as empty although something came after it was looked at.",
        "services/webhooks/queue_store.py",
        " WHERE endpoint_id = $1 AND lease = $2 AND touched = $3\n",
        " WHERE endpoint_id = $1 AND lease = $2 AND $3::bigint IS NOT NULL\n",
        (
            WEBHOOKS + "test_worker.py::"
            "test_nobody_sleeps_over_what_is_queued_while_a_queue_looks_empty",
        ),
    ),
    "webhooks-of-others": Mutant(
        "A merchant hears of the payments of others.",
        "services/webhooks/catalogue.py",
        "    if filter.merchant_id and filter.merchant_id != happened.merchant_id:\n"
        "        return False\n",
        "",
        (WEBHOOKS + "test_queueing.py::test_each_endpoint_gets_what_it_asked_for",),
    ),
    "webhooks-moved-secrets": Mutant(
        "The secret of one endpoint opens in the row of another.",
        "services/webhooks/sealing.py",
        '    return f"{endpoint_id}/{number}"\n',
        '    return ""\n',
        (WEBHOOKS + "test_deciding.py::test_the_place_of_a_secret_names_endpoint_and_number",),
    ),
    "webhooks-in-production": Mutant(
        "What is for developers alone works in production.",
        "kit/settings.py",
        '        if self.webhooks_allow_loopback and self.environment != "development":\n',
        "        if False:\n",
        (WEBHOOKS + "test_settings.py::test_loopback_is_refused_in_production",),
    ),
    "reports-believe-lost-histories": Mutant(
        "A report keeps what a failover took back, although the shard went on otherwise.",
        "services/reporting/images.py",
        "        return image.place.at > known.place.at\n    return image.version",
        "        return image.version > known.version\n    return image.version",
        (
            REPORTS
            + "test_images.py::test_what_was_lost_with_its_history_is_taken_back_by_what_followed"
            "_instead",
        ),
    ),
    "reports-count-twice": Mutant(
        "A payment that changes counts as it was and as it is.",
        "services/reporting/store.py",
        "        images.add(totals, before[one], -1)\n",
        "        pass\n",
        (REPORTS + "test_projection.py::test_totals_are_those_of_the_ledgers_to_the_cent",),
    ),
    "reports-rebuilt-with-lost-history": Mutant(
        "Reports that are made anew have what was told of commits that were lost.",
        "services/reporting/rebuild.py",
        "    return place.incarnation == head.place.incarnation or place.at >= head.place.at\n",
        "    return True\n",
        (REPORTS + "test_rebuild.py::test_what_a_failover_took_back_is_gone_after_a_rebuild",),
    ),
    "reports-of-other-merchants": Mutant(
        "A merchant's key reads reports of another merchant.",
        "services/reporting/questions.py",
        '        if asked not in ("", principal.merchant_id):\n'
        '            raise Refused("MERCHANT_UNKNOWN")\n'
        "        return principal.merchant_id\n",
        "        return asked or principal.merchant_id\n",
        (REPORTS + "test_questions.py::test_a_merchants_key_asks_for_its_own_alone",),
    ),
    "exports-run-formulas": Mutant(
        "A description that begins with = is run by whoever opens an export.",
        "services/reporting/csv_text.py",
        """    return f"'{text}" if text.startswith(FORMULA_STARTS) else text\n""",
        "    return text\n",
        (REPORTS + "test_questions.py::test_a_cell_that_would_be_run_is_text",),
    ),
    "rows-go-before-they-are-told": Mutant(
        "Journal rows are deleted that the relay has not published.",
        "storage/migrations/0008_archive.sql",
        "    SELECT 'relay', coalesce(min(r.position), 0) FROM relays AS r\n    UNION ALL\n",
        "",
        (ARCHIVE + "test_rows_go_once_the_relay_is_past_them_but_for_the_newest",),
    ),
    "rows-go-while-they-are-copied": Mutant(
        "Journal rows are deleted that another shard still copies a bucket from.",
        "storage/archive/archiver.py",
        "        through = min((it.through for it in await self.moves()), default=EVERYTHING)\n",
        "        through = EVERYTHING\n",
        (ARCHIVE + "test_rows_stay_while_another_shard_copies_from_them",),
    ),
    "archive-not-read-back": Mutant(
        "A file that was not written as it should be counts as the archive of its rows.",
        "storage/archive/archiver.py",
        "        await asyncio.to_thread(_read_back, self._files, one.name, sha256)\n",
        "",
        (ARCHIVE + "test_a_file_that_cannot_be_read_back_is_not_noted",),
    ),
}
