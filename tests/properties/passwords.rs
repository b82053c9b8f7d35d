//! passwd(5) and group(5) of a root filesystem, which may say anything: nobody becomes somebody else.

#[path = "../../src/spec/passwd.rs"]
mod passwd;

use crate::choices::Choices;

const PIECES: [&str; 18] = [
    "root",
    "web",
    "",
    ":",
    ":x:",
    "0",
    "-1",
    "+5",
    "4294967295",
    "99999999999",
    "\n",
    ":/:",
    "5",
    " ",
    "web:x:33:44:,,:/srv:/bin/false\n",
    "adm:x:4:web,root\n",
    ":x:5:",
    ",",
];

/// The first line that is about somebody tells who they are, or there is an error.
pub(crate) fn nobody_becomes_somebody_else(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut file = Vec::new();
    while !choices.is_over() {
        file.extend(choices.os_text(&PIECES).as_encoded_bytes());
    }
    let lines = || file.split(|&byte| byte == b'\n');
    for wanted in ["root", "web", "5", "0", "", "+5", "-1"] {
        if let Ok(Some(found)) = passwd::user(&file, wanted) {
            let line = lines().find(|line| {
                let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
                str::from_utf8(line).is_ok()
                    && match passwd::id(wanted) {
                        Some(number) => {
                            fields
                                .get(2)
                                .and_then(|field| passwd::id(str::from_utf8(field).ok()?))
                                == Some(number)
                        }
                        None => fields[0] == wanted.as_bytes(),
                    }
            });
            let home = found.home.display();
            let start = format!("{}:", found.name);
            let end = format!(":{}:", home);
            let line = String::from_utf8_lossy(line.expect("a line about them"));
            assert!(
                line.starts_with(&start) && line.contains(&end),
                "{line:?}: {found:?}"
            );
            match passwd::id(wanted) {
                Some(number) => assert_eq!(found.uid, number),
                None => assert_eq!(found.name, wanted),
            }
            assert!(found.uid != u32::MAX && found.gid != u32::MAX);
        }
        if let Ok(Some(gid)) = passwd::group(&file, wanted) {
            assert!(gid != u32::MAX);
        }
        if let Ok(groups) = passwd::groups_of(&file, wanted) {
            assert!(!groups.contains(&u32::MAX));
        }
    }
}
