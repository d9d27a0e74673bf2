//! The steps of an operator's requests, in the order of `operate.rs` of the service.

use lambel_core::{
    SubtaskState,
    subtask::{Cast, Unavailable},
};

use crate::{
    bugs::Bug,
    protocol::{Fate, OVER, Protocol, WROTE_LAST, Went, on, wrote},
    records::{DeskRow, IMAGES, Kit, Reply, moment},
    state::{Claim, ClaimStage, News, Process, State, VoteStage, Wrong, bits, bits_where},
    tables::Closing,
};

/// How often a claim tries to store the operator's record: as in the service.
const DESK_TRIES: u8 = 3;

enum Kept {
    Stored,
    Unchanged,
    Changed,
}

impl Protocol {
    pub(crate) fn voted(&self, s: &State, operator: usize) -> u8 {
        let voted = |image: &usize| s.tables.rows[*image].is_some_and(|row| row.votes[operator].is_some());
        self.all_images().filter(voted).map(|image| 1 << image).sum()
    }

    pub(crate) fn claim(&self, s: &mut State, mut c: Claim, fate: Fate) -> Option<Went> {
        let o = usize::from(c.operator);
        let mut written = false;
        match c.stage {
            ClaimStage::Desk => sit_down(s, &mut c),
            ClaimStage::Look => {
                self.look(s, &mut c, fate)?;
                c.stage = ClaimStage::Lease;
            }
            ClaimStage::Lease => {
                if let Some(image) = bits(c.free).next() {
                    let until = c.now + 1;
                    let current = s.tables.rows[image].map_or(0, |row| row.rev);
                    let unconditional = self.has(Bug::LeaseUnconditional) || self.has(Bug::IndexTrusted);
                    let seen = if unconditional { current } else { c.revs[image] };
                    let now = if self.has(Bug::LeaseForEver) { 0 } else { c.now };
                    written = s.tables.lease(&self.kit, image, seen, o, until, now);
                    // An answer that got lost makes the write go out again: then the lease that is there is this
                    // one.
                    let mine = |row: &crate::records::Row| row.rev == seen + 1 && row.leases[o] == Some(until);
                    if written || s.tables.rows[image].as_ref().is_some_and(mine) {
                        c.handed |= 1 << image;
                        c.fresh |= 1 << image;
                        c.untils[image] = until;
                    }
                    c.free &= !(1 << image);
                    c.revs[image] = 0;
                }
            }
            ClaimStage::Close => {
                if let Some(image) = (0..IMAGES).find(|image| c.closings[*image].is_some())
                    && let Some(closing) = c.closings[image]
                {
                    written = self.close(s, image, &closing);
                    c.closings[image] = again(written, &self.kit, s, image);
                }
            }
            ClaimStage::Keep => {
                let gone = c.gone;
                match self.keep(s, &mut c, gone) {
                    Kept::Stored => written = true,
                    Kept::Unchanged => {}
                    Kept::Changed if c.tries < DESK_TRIES => return Some(on(Process::Claim(c))),
                    Kept::Changed => {}
                }
                let missed = (c.is_new || !c.first_try) && c.fresh != 0;
                // Nobody is ever paused in worlds without it: then that look sees nothing.
                if missed && !self.has(Bug::StandingReadOnce) {
                    c.stage = ClaimStage::Standing;
                    return Some(Went { next: Some(Process::Claim(tidy(c))), wrote: written });
                }
                if fate == Fate::Done {
                    self.hand_out(s, &c);
                }
                return Some(Went { next: None, wrote: written });
            }
            ClaimStage::Standing => {
                if !s.tables.paused[o] {
                    self.hand_out(s, &c);
                    return Some(OVER);
                }
                c.desk = s.tables.desks[o];
                c.read = c.desk.leases;
                c.tries = 0;
                c.stage = ClaimStage::HandBack(c.handed);
            }
            ClaimStage::HandBack(todo) => {
                let Some(image) = bits(todo).next() else { return Some(OVER) };
                written = s.tables.give_back(&self.kit, image, o);
                let left = todo & !(1 << image);
                c.stage = if left == 0 { ClaimStage::KeepBack } else { ClaimStage::HandBack(left) };
            }
            ClaimStage::KeepBack => {
                let gone = std::mem::take(&mut c.handed);
                match self.keep(s, &mut c, gone) {
                    Kept::Changed if c.tries < DESK_TRIES => {
                        c.handed = gone;
                        return Some(on(Process::Claim(c)));
                    }
                    Kept::Stored => return Some(WROTE_LAST),
                    Kept::Unchanged | Kept::Changed => return Some(OVER),
                }
            }
        }
        if c.stage == ClaimStage::Lease && c.free == 0 {
            c.stage = ClaimStage::Close;
        }
        if c.stage == ClaimStage::Close && c.closings.iter().all(Option::is_none) {
            c.stage = ClaimStage::Keep;
        }
        Some(Went { next: Some(Process::Claim(tidy(c))), wrote: written })
    }

    /// The index is queried and the records that it names are read. None if that would be no other look.
    fn look(&self, s: &State, c: &mut Claim, fate: Fate) -> Option<()> {
        let o = usize::from(c.operator);
        let operator = &self.kit.operators[o];
        let held: u8 = bits_where(|image| c.desk.leases[image].is_some_and(|until| until > c.now));
        for image in bits(held) {
            match s.tables.rows[image] {
                Some(row) if row.state == SubtaskState::Open && row.leases[o].is_some_and(|until| until > c.now) => {
                    c.handed |= 1 << image;
                    c.untils[image] = row.leases[o].unwrap_or_default();
                }
                _ => c.gone |= 1 << image,
            }
        }
        let mut index: u8 = bits_where(|image| s.tables.rows[image].is_some_and(|row| row.state == SubtaskState::Open));
        let mut rows = s.tables.rows;
        match fate {
            Fate::IndexLacks(image) if index >> image & 1 == 1 => index &= !(1 << image),
            Fate::IndexKeeps(image) if s.tables.rows[usize::from(image)].is_some_and(|row| row.is_decided()) => {
                index |= 1 << image;
            }
            // Where the operator holds something the read is consistent.
            Fate::OldRead(image) if held == 0 && s.old[usize::from(image)].is_some() => {
                rows[usize::from(image)] = s.old[usize::from(image)];
            }
            Fate::IndexLacks(_) | Fate::IndexKeeps(_) | Fate::OldRead(_) => return None,
            Fate::Done | Fate::Stopped | Fate::AnswerLost => {}
        }
        for image in bits(index & !held) {
            if self.has(Bug::IndexTrusted) {
                c.free |= 1 << image;
                continue;
            }
            let Some(row) = rows[image].filter(|row| row.state == SubtaskState::Open) else { continue };
            if let Some(closing) = Closing::of(&self.kit, &row) {
                c.closings[image] = Some(closing);
                continue;
            }
            let now = match self.bug {
                Some(Bug::LeaseForEver) => 0,
                Some(Bug::LeasesNotCounted) => u8::MAX,
                _ => c.now,
            };
            let subtask = self.kit.subtask(image, &row);
            let available = subtask.availability(operator, &self.kit.task.policy, self.kit.labels(), moment(now));
            let passes = match available {
                Ok(()) => true,
                Err(Unavailable::Voted) => {
                    self.has(Bug::VotedHandedOut)
                        && subtask.free_slots(&self.kit.task.policy, self.kit.labels(), moment(now)) > 0
                }
                Err(_) => false,
            };
            if !passes {
                continue;
            }
            if let Some(until) = row.leases[o].filter(|until| *until > c.now && self.has(Bug::LeftoverTrusted)) {
                c.handed |= 1 << image;
                c.fresh |= 1 << image;
                c.untils[image] = until;
            } else {
                c.free |= 1 << image;
                c.revs[image] = row.rev;
            }
        }
        Some(())
    }

    /// Stores the operator's record after a claim, without what is gone and with what is handed out.
    fn keep(&self, s: &mut State, c: &mut Claim, gone: u8) -> Kept {
        let o = usize::from(c.operator);
        let before = c.desk;
        let mut desk = before;
        for image in bits(gone) {
            if self.has(Bug::TakenOffUnseen) || desk.leases[image] == c.read[image] {
                desk.leases[image] = None;
            }
        }
        for image in bits(c.handed) {
            desk.leases[image] = Some(c.untils[image]);
        }
        if desk == before {
            return Kept::Unchanged;
        }
        desk.rev = before.rev + 1;
        if self.has(Bug::DeskUnconditional) {
            desk.rev = s.tables.desks[o].rev + 1;
        }
        if s.tables.put_desk(o, desk) {
            return Kept::Stored;
        }
        // It is read again: at once here, since a write that fails could as well have failed a moment later.
        c.first_try = false;
        c.tries += 1;
        c.desk = s.tables.desks[o];
        Kept::Changed
    }

    fn hand_out(&self, s: &mut State, c: &Claim) {
        let o = usize::from(c.operator);
        if c.handed & c.voted != 0 {
            s.ghost.wrong.add(Wrong::HandedVoted);
        }
        if s.home >> c.operator & 1 == 0 {
            s.screens[o] |= c.handed;
        }
    }

    pub(crate) fn close(&self, s: &mut State, image: usize, closing: &Closing) -> bool {
        let mut closing = *closing;
        if self.has(Bug::CloseUnconditional)
            && let Some(row) = s.tables.rows[image]
        {
            closing.rev = row.rev;
        }
        if self.has(Bug::CountedApart) {
            let tally = s.tables.tally;
            let closed = s.tables.close(&self.kit, image, &closing);
            s.tables.tally = tally;
            return closed;
        }
        let closed = s.tables.close(&self.kit, image, &closing);
        if !closed
            && self.has(Bug::RetryCountedAgain)
            && let Some(row) = s.tables.rows[image]
            && row.rev == closing.rev + 1
            && row.is_decided()
        {
            s.tables.tally.add_closed(&row);
        }
        closed
    }

    pub(crate) fn vote(
        &self,
        s: &mut State,
        (operator, image, reply, held): (u8, u8, Reply, bool),
        stage: VoteStage,
        fate: Fate,
    ) -> Went {
        let (o, i) = (usize::from(operator), usize::from(image));
        let at = |stage| Process::Vote { operator, image, reply, held, stage };
        let decided = |closing| {
            at(if self.has(Bug::PublishedFirst) { VoteStage::Announce(closing) } else { VoteStage::Close(closing) })
        };
        let went = match stage {
            VoteStage::Cast => {
                if self.has(Bug::VoteCountedAgain)
                    && let Some(row) = s.tables.rows[i].as_mut().filter(|row| row.state == SubtaskState::Open)
                    && row.votes[o].take().is_some()
                {
                    row.leases[o] = Some(s.now);
                }
                let rev = s.tables.rows[i].map(|row| row.rev);
                match s.tables.cast(&self.kit, i, o, reply, held) {
                    None | Some(Err(_)) => {
                        // Refused. They see it, and do not send it again.
                        s.screens[o] &= !(1 << image);
                        return OVER;
                    }
                    Some(Ok((cast, row))) => {
                        s.ghost.counted[o][i] += u8::from(cast == Cast::Counted);
                        Went { next: Closing::of(&self.kit, &row).map(decided), wrote: rev != Some(row.rev) }
                    }
                }
            }
            VoteStage::Announce(closing) => {
                self.announce(s, News { image: Some(image), rev: closing.rev + 1 });
                wrote(at(VoteStage::Close(closing)))
            }
            VoteStage::Close(closing) => {
                let closed = self.close(s, i, &closing);
                if closed && self.has(Bug::PublishedAfter) {
                    wrote(at(VoteStage::Tell))
                } else if closed && self.has(Bug::CountedApart) {
                    wrote(at(VoteStage::Count))
                } else {
                    Went { next: again(closed, &self.kit, s, i).map(decided), wrote: closed }
                }
            }
            VoteStage::Count => {
                if let Some(row) = s.tables.rows[i] {
                    s.tables.tally.add_closed(&row);
                }
                WROTE_LAST
            }
            VoteStage::Tell => {
                if let Some(row) = s.tables.rows[i] {
                    self.announce(s, News { image: Some(image), rev: row.rev });
                }
                WROTE_LAST
            }
        };
        if went.next.is_none() && fate == Fate::Done {
            s.ghost.acknowledged[o] |= 1 << image;
            s.screens[o] &= !(1 << image);
        }
        went
    }

    pub(crate) fn give_back(
        &self,
        s: &mut State,
        operator: u8,
        (todo, images): (u8, u8),
        mut desk: DeskRow,
        read: [Option<u8>; IMAGES],
    ) -> Went {
        let o = usize::from(operator);
        if let Some(image) = bits(todo).next() {
            let written = s.tables.give_back(&self.kit, image, o);
            let next = Process::Return { operator, todo: todo & !(1 << image), images, desk, read };
            return Went { next: Some(next), wrote: written };
        }
        let before = desk;
        for image in bits(images) {
            if self.has(Bug::TakenOffUnseen) || desk.leases[image] == read[image] {
                desk.leases[image] = None;
            }
        }
        if desk == before {
            return OVER;
        }
        desk.rev += 1;
        if s.tables.put_desk(o, desk) {
            return WROTE_LAST;
        }
        on(Process::Return { operator, todo, images, desk: s.tables.desks[o], read })
    }
}

/// What is to be closed after a try: nothing if it was closed, else what the record is now. It is read at once,
/// since a write that fails could as well have failed a moment later.
fn again(closed: bool, kit: &Kit, s: &State, image: usize) -> Option<Closing> {
    s.tables.rows[image].filter(|_| !closed).and_then(|row| Closing::of(kit, &row))
}

pub(crate) fn sit_down(s: &State, c: &mut Claim) {
    c.desk = s.tables.desks[usize::from(c.operator)];
    c.read = c.desk.leases;
    c.is_new = c.desk.rev == 0;
    c.stage = ClaimStage::Look;
}

/// What a claim will not look at again does not tell two claims apart.
fn tidy(mut c: Claim) -> Claim {
    for image in 0..IMAGES {
        if c.handed >> image & 1 == 0 {
            c.untils[image] = 0;
        }
    }
    if matches!(c.stage, ClaimStage::Lease | ClaimStage::Close | ClaimStage::Keep) {
        for image in 0..IMAGES {
            if c.gone >> image & 1 == 0 {
                c.read[image] = None;
            }
        }
    }
    if matches!(c.stage, ClaimStage::Standing) {
        c.desk = DeskRow::default();
        c.read = [None; IMAGES];
        c.tries = 0;
        c.gone = 0;
    }
    c
}
