// SPDX-License-Identifier: MIT OR Apache-2.0
//! passwd(5) and group(5), read strictly: a line that is about who was asked for is right or an error.

use std::path::PathBuf;
use std::str;

/// An entry of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

/// A number from 0 to 4294967294, decimal digits only: no sign, and not the one that means "none".
pub(crate) fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| digits && id != u32::MAX)
}

/// The first entry of a user, by name or by number. Lines about others may be as they like, as for libc.
///
/// # Errors
///
/// A line about this user that is malformed: its number.
pub(crate) fn user(file: &[u8], wanted: &str) -> Result<Option<Entry>, usize> {
    let number = id(wanted);
    for (index, fields) in lines(file) {
        let about = !wanted.is_empty()
            && match number {
                Some(number) => fields.get(2).and_then(|field| id(field)) == Some(number),
                None => fields.first() == Some(&wanted),
            };
        if !about {
            continue;
        }
        let [name, _, uid, gid, _, home, _] = fields[..] else {
            return Err(index);
        };
        let (Some(uid), Some(gid)) = (id(uid), id(gid)) else {
            return Err(index);
        };
        return Ok(Some(Entry {
            name: name.to_owned(),
            uid,
            gid,
            home: home.into(),
        }));
    }
    Ok(None)
}

/// The number of the first group of a name.
///
/// # Errors
///
/// As [`user`].
pub(crate) fn group(file: &[u8], wanted: &str) -> Result<Option<u32>, usize> {
    for (index, fields) in lines(file) {
        if fields.first() != Some(&wanted) {
            continue;
        }
        let [_, _, gid, _] = fields[..] else {
            return Err(index);
        };
        return id(gid).map(Some).ok_or(index);
    }
    Ok(None)
}

/// The groups that list a user as a member.
///
/// # Errors
///
/// As [`user`].
pub(crate) fn groups_of(file: &[u8], member: &str) -> Result<Vec<u32>, usize> {
    let mut groups = Vec::new();
    for (index, fields) in lines(file) {
        let Some(members) = fields.get(3) else {
            continue;
        };
        if !members.split(',').any(|one| one == member) {
            continue;
        }
        let gid = fields.get(2).and_then(|field| id(field));
        let gid = gid.filter(|_| fields.len() == 4).ok_or(index)?;
        if !groups.contains(&gid) {
            groups.push(gid);
        }
    }
    Ok(groups)
}

/// The fields of each line with its number; of one that is not UTF-8 nobody can be meant.
fn lines(file: &[u8]) -> impl Iterator<Item = (usize, Vec<&str>)> {
    file.split(|&byte| byte == b'\n')
        .enumerate()
        .filter_map(|(index, line)| {
            let line = str::from_utf8(line).ok()?;
            Some((index + 1, line.split(':').collect()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\n# a remark\nweb:x:33:44:,,:/srv:/bin/false\nbad:x:-1:0::/:\n\
        short:x:5:5\nbig:x:4294967296:0::/:\nnone:x:4294967295:0::/:\nweb:x:0:0::/:\nlast:x:7:8::/l:";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let web = user(PASSWD, "web").unwrap().unwrap();
        assert_eq!((web.uid, web.gid), (33, 44));
        assert_eq!(web.home, PathBuf::from("/srv"));
        assert_eq!(user(PASSWD, "33").unwrap().unwrap(), web);
        assert_eq!(user(PASSWD, "last").unwrap().unwrap().uid, 7);
        for nobody in ["", "ro", "root:x", "34", "WEB", "x"] {
            assert_eq!(user(PASSWD, nobody), Ok(None), "{nobody}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_nobody_else() {
        assert_eq!(user(PASSWD, "bad"), Err(5));
        assert_eq!(user(PASSWD, "short"), Err(6));
        assert_eq!(user(PASSWD, "big"), Err(7));
        assert_eq!(user(PASSWD, "none"), Err(8));
    }

    #[test]
    fn groups_are_found_with_their_members() {
        let file = b"a:x:1:web,root\nb:x:2:webber\nc:x:3:root,web\nd:x:-4:x\n";
        assert_eq!(group(file, "b"), Ok(Some(2)));
        assert_eq!(group(file, "z"), Ok(None));
        assert_eq!(group(file, "d"), Err(4));
        assert_eq!(groups_of(file, "web"), Ok(vec![1, 3]));
        assert_eq!(groups_of(file, "x"), Err(4));
    }
}
