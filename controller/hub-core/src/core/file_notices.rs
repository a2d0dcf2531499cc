//! The service side is told of uploaded files.

use jiff::Timestamp;

use super::Core;
use crate::{
    clock::later,
    cloud_to_device::{LockToken, Settlement},
    effect::Effect,
    event::Entropy,
    file_notices::{FileNotice, UploadedFile},
    message::Sequence,
    service::{ServiceError, ServiceReply},
    write::Write,
};

impl Core {
    /// Keeps a notice until the service side has taken it. Telling again what still waits changes nothing, so that whoever
    /// was interrupted may repeat it.
    pub(super) fn tell_of_file(
        &mut self,
        file: UploadedFile,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> ServiceReply {
        if !self.file_notices.tells_of(file.upload) {
            self.last_sequence += 1;
            let notice = FileNotice { sequence: Sequence(self.last_sequence), enqueued: now, file };
            self.counters.files_uploaded += 1;
            out.push(Effect::Persist(Write::PutFileNotice(Box::new(notice.clone()))));
            self.file_notices.push(notice);
            self.drop_file_notices(now, out);
        }
        ServiceReply::Done
    }

    /// Lends a notice to the service side.
    pub(super) fn receive_file_notice(
        &mut self,
        entropy: Entropy,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> ServiceReply {
        self.drop_file_notices(now, out);
        let until = later(now, self.config.limits.lock_seconds);
        let lent = self.file_notices.receive(LockToken::from_entropy(entropy), until);
        ServiceReply::FileNotice(lent.map(Box::new))
    }

    /// The service side is done with a notice, or wants it again later.
    pub(super) fn settle_file_notice(
        &mut self,
        lock: LockToken,
        settlement: Settlement,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<ServiceReply, ServiceError> {
        self.drop_file_notices(now, out);
        let notice = self.file_notices.settle(lock).ok_or(ServiceError::LockLost)?;
        match settlement {
            Settlement::Complete | Settlement::Reject => {
                out.push(Effect::Persist(Write::RemoveFileNotice(notice.sequence)));
            }
            Settlement::Abandon => self.file_notices.push(notice),
        }
        Ok(ServiceReply::Done)
    }

    /// Notices that nobody took in time, or for which there is no room.
    pub(super) fn drop_file_notices(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let limits = &self.config.limits;
        for sequence in self.file_notices.expire(now, limits.feedback_seconds, limits.file_notices) {
            out.push(Effect::Persist(Write::RemoveFileNotice(sequence)));
        }
    }
}
